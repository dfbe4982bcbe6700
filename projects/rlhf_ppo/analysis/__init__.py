"""Figures and numbers of a training run."""
