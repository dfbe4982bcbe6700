"""Speed of models and of the server, measured in turn with equal threads."""
