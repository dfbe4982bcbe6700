"""What somebody likes, asks and wishes."""
