"""Rare classes: losses and samplers, one switch each, which touch training and nothing else."""
