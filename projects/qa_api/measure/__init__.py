"""What the service holds under load and faults: functions from settings to rows, which study.py turns into tables."""
