"""Fine-tuning with the Trainer: AWP and mixout by hand, and training that survives running out of memory."""
