"""`make bench-onnx_serving`: the models' benchmark, then the server's."""

from dataclasses import dataclass

from projects.onnx_serving.benchmarks.benchmark import BenchConfig
from projects.onnx_serving.benchmarks.benchmark import main as measure_models
from projects.onnx_serving.benchmarks.load import LoadConfig
from projects.onnx_serving.benchmarks.load import main as measure_server
from shared.errors import command


@dataclass(frozen=True, kw_only=True)
class BothConfig(BenchConfig, LoadConfig):
    """Measure the models, then the server."""

    def __post_init__(self) -> None:
        """Refuse what either refuses."""
        BenchConfig.__post_init__(self)
        LoadConfig.__post_init__(self)


def main(config: BothConfig) -> None:
    """Measure the models, then the server under twice the load that it sustains."""
    measure_models(config)
    measure_server(config)


if __name__ == "__main__":
    command(main, BothConfig)
