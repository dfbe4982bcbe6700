"""What is measured of the engine: agreement with transformers, speed beside it, memory."""
