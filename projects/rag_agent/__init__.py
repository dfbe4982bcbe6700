"""Retrieval-augmented answers: FAISS and BM25 find passages, SmolLM2 reads them, an agent adds tools and memory."""
