"""Figures, from the files of results/."""
