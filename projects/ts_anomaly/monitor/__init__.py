"""Detection as values come: sources, state, drift, alerts."""
