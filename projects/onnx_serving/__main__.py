"""`make run-onnx_serving`: train or load, export, compare, measure, then serve and call both routes."""

from projects.onnx_serving.assembly import claim_export, exported, place_of, trained
from projects.onnx_serving.config import Config
from projects.onnx_serving.demo import ask_the_pipelines, call_the_server, measure, show_export, show_training
from projects.onnx_serving.places import EXPORTED, QA
from shared.errors import command


def main(config: Config) -> None:
    """Train or load the question-answering model, export both models, compare, measure, and serve them."""
    directory = config.out or place_of(config)
    out = EXPORTED if directory == QA else directory / "exported"
    claim_export(out)
    run = trained(config)
    show_training(run)
    graphs = exported(run / "model", out)
    show_export(graphs)
    ask_the_pipelines(run / "model")
    measure(graphs, run / "model")
    call_the_server(graphs)


if __name__ == "__main__":
    command(main, Config)
