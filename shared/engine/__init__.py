"""SmolLM2 for serving: ONNX Runtime with a cache, in a loop that can be read.

Reading order: graph (what is run), cache, model (a step), sampling, text, generation (one request), scheduler (many).
"""

from shared.engine.generation import Answer, Request, Stream, stream
from shared.engine.model import Engine, load_engine
from shared.engine.sampling import Sampling
from shared.engine.scheduler import BusyError, EngineRows, Scheduler, generate

__all__ = [
    "Answer",
    "BusyError",
    "Engine",
    "EngineRows",
    "Request",
    "Sampling",
    "Scheduler",
    "Stream",
    "generate",
    "load_engine",
    "stream",
]
