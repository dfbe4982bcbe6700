"""Scores and lists."""
