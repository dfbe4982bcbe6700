"""What the results are made of: injected anomalies, real series, false alarms, change points, speed."""
