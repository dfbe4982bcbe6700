"""Figures made from results/."""
