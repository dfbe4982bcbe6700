"""SmolLM2 for serving: ONNX Runtime with a cache, in a loop that can be read."""

from shared.engine.model import Engine, load_engine

__all__ = ["Engine", "load_engine"]
