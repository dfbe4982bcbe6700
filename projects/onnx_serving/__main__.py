"""`make run-onnx_serving`: train or load, export, compare, measure, then serve and call both routes."""

from projects.onnx_serving.benchmarks.timing import short_benchmark
from projects.onnx_serving.config import Config
from projects.onnx_serving.demo import ask_the_pipelines, call_the_server
from projects.onnx_serving.export import parity
from projects.onnx_serving.export.folder import claim_export, export_if_needed
from projects.onnx_serving.paths import EXPORTED, QA
from projects.onnx_serving.training.train_qa import report
from projects.onnx_serving.training.trained import run_directory, trained_run
from shared.errors import command


def main(config: Config) -> None:
    """Train or load the question-answering model, export both models, compare, measure, and serve them."""
    directory = config.out or run_directory(config)
    out = EXPORTED if directory == QA else directory / "exported"
    claim_export(out)
    run = trained_run(config)
    report(run)
    graphs = export_if_needed(run / "model", out)
    parity.show(graphs)
    ask_the_pipelines(run / "model")
    short_benchmark(graphs, run / "model")
    call_the_server(graphs)


if __name__ == "__main__":
    command(main, Config)
