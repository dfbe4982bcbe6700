"""Pipelines, ONNX export, two batching schemes and a server for two small models, measured side by side."""
