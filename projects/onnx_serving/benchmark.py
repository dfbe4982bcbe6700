"""`make bench-onnx_serving`: the models' benchmark, then the server's."""

from dataclasses import dataclass
from pathlib import Path

from projects.onnx_serving.benchmarks.benchmark import BenchConfig
from projects.onnx_serving.benchmarks.benchmark import main as measure_models
from projects.onnx_serving.benchmarks.load import LoadConfig
from projects.onnx_serving.benchmarks.load import main as measure_server
from projects.onnx_serving.paths import QA
from shared.errors import command


@dataclass(frozen=True, kw_only=True)
class BothConfig(LoadConfig):
    """Measure the models, then the server."""

    qa: Path = QA / "model"
    """Folder of the trained question-answering model, for torch."""
    rounds: int = 9
    """How often each arm has its turn in the encoder; generation takes a third of them."""


def main(config: BothConfig) -> None:
    """Measure the models, then the server under twice the load that it sustains."""
    measure_models(BenchConfig(graphs=config.graphs, qa=config.qa, rounds=config.rounds, out=config.out))
    measure_server(config)


if __name__ == "__main__":
    command(main, BothConfig)
