"""A dashboard and an HTTP door to the monitor."""
