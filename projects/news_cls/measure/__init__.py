"""Measurements of finished models: time shift, drift, the gate, attributions, leaks."""
