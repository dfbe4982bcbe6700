"""The reward models, hidden and learned, and the policy."""
