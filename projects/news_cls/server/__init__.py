"""The service: HTTP over a classifier that knows no HTTP."""
