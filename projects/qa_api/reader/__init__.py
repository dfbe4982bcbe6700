"""Answers as spans of a document, or none."""
