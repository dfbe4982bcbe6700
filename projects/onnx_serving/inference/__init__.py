"""Models behind one interface, pipelines over them, and the two batching schemes."""
