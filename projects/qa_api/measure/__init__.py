"""What is measured: searches, answers, the service."""
