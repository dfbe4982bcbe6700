"""News by topic: few labels, rare classes, time, and updates that are let in only if they help."""
