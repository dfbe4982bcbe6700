"""What people say: kept, followed at once, and replayed."""
