"""Finding documents: words and vectors, merged, kept live."""
