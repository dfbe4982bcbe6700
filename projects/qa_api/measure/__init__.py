"""What is measured: searches, answers, the service under load and faults."""
