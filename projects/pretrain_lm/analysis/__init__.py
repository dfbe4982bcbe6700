"""What a trained model writes, and how good it is."""
