"""A small language model from raw articles to paragraphs: cleaning, masking, a Transformer, training, generation."""
