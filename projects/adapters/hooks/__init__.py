"""Adapters put into a network without editing it."""
