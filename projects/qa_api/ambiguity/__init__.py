"""One name, several documents: a question back."""
