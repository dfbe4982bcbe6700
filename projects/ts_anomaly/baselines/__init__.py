"""What a Transformer has to beat."""
