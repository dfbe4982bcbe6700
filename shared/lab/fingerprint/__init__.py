"""Attacks on shared/fingerprint, and how fast it seals and verifies."""
