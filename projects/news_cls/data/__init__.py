"""Corpora of news: read, cleaned, grouped and divided, described."""
