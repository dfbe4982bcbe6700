"""Other people's programs, in environments of their own."""
