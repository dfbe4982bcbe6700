"""Adapters from scratch: bottleneck and parallel modules on hooks, against full fine-tuning and training from zero."""
