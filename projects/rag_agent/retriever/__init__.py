"""Finding passages: vectors in FAISS or Milvus, words by BM25, and both fused."""
