"""Models to ONNX, and proof that they compute the same."""
