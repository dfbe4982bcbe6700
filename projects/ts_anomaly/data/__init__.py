"""Series: definitions, cleaning, injected anomalies, readers."""
