"""Documents, queries, and questions made from facts."""
