"""Preferences, a reward model and PPO from scratch on a small language model."""
