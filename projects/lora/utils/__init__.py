"""Saving and loading LoRA weights, apart or merged."""
