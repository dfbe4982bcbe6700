"""A small service over HTTP: batching behind a bounded queue."""
