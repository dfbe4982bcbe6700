"""Transformers for series, from attention to anomaly scores."""
