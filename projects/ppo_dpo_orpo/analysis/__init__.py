"""Comparisons over prompts and seeds, and figures."""
