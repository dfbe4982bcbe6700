"""The course projects: each folder is one, and none imports another."""
