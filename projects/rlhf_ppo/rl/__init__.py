"""Proximal policy optimisation over tokens."""
