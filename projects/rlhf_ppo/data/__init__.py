"""Prompts, pairs of continuations and which of the two is preferred."""
