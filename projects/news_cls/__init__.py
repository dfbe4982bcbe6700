"""News by topic: transfer from an encoder, few labels, rare classes, time, and updates that are let in only if they help."""
