"""Commands: training, and pruning with quantisation."""
