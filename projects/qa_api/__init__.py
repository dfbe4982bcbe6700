"""Questions to your documents, and an honest "not in them"."""
