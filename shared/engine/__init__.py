"""SmolLM2 for serving: ONNX Runtime with a cache, in a loop that can be read.

Reading order: graph (what is run), steering (what may be added to it), cache, model (a step), sampling, text,
generation (one request), scheduler (many).
"""

from shared.engine.generation import Answer, Request, Stream, stream
from shared.engine.model import Engine, load_engine
from shared.engine.sampling import Sampling
from shared.engine.scheduler import BusyError, EngineRows, Scheduler, generate
from shared.engine.steering import Steering, read_lora

__all__ = [
    "Answer",
    "BusyError",
    "Engine",
    "EngineRows",
    "Request",
    "Sampling",
    "Scheduler",
    "Steering",
    "Stream",
    "generate",
    "load_engine",
    "read_lora",
    "stream",
]
