"""Other people's detectors, run in an environment of their own."""
