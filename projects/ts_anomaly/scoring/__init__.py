"""From scores to alarms: thresholds and events."""
