"""Texts as vectors, and where these are searched."""
