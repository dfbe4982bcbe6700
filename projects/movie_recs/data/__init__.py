"""Films, texts and ratings: read, joined, divided."""
