"""The recommender as a service."""
