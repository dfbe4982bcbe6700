"""The generator, and the retriever joined with it."""
