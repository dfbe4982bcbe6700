"""A graph is built once, keyed by what it is made of, whole or not at all; only the wanted logits are computed."""

import json
import subprocess
import sys

import numpy as np
import pytest

from shared.engine import graph
from shared.engine.graph import graph_folder
from shared.errors import UserError

pytestmark = pytest.mark.timeout(300)  # the first test that asks for a graph builds it


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CC0C2_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def source(tmp_path):
    """A folder that looks like a model's."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def builds(monkeypatch):
    """Which graphs were built, by a builder that writes a line."""
    done = []

    def build(source, precision, folder):
        done.append(precision)
        (folder / "model.onnx").write_text(precision)

    monkeypatch.setattr(graph, "build_graph", build)
    return done


def test_a_graph_is_built_once_for_each_content_precision_and_format(cache, source, builds, monkeypatch):
    first = graph_folder(str(source), "int8")
    assert first.parent == cache and graph_folder(str(source), "int8") == first and builds == ["int8"]
    folders = {first, graph_folder(str(source), "float32")}
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (source / name).write_text("other")
        folders.add(graph_folder(str(source), "int8"))
    monkeypatch.setattr(graph, "FORMAT", 99)
    folders.add(graph_folder(str(source), "int8"))
    assert len(folders) == len(builds) == 6


def test_a_build_that_fails_leaves_nothing_and_says_why(cache, source):
    (source / "config.json").write_text('{"architectures": ["NoSuchModel"], "model_type": "none"}')
    with pytest.raises(UserError, match=r"no graph could be built of this model \(.+\)$"):
        graph_folder(str(source), "int8")
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_two_processes_at_once_build_one(cache, source, tmp_path):
    code = """if True:
        import sys, time
        from shared.engine import graph
        def build(source, precision, folder):
            open(sys.argv[2], "a").write("built\\n")
            (folder / "model.onnx").touch()
            time.sleep(1)  # the other one comes meanwhile
        graph.build_graph = build
        print(graph.graph_folder(sys.argv[1]).name, flush=True)
    """
    words = [sys.executable, "-c", code, str(source), str(tmp_path / "log")]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    names = {process.communicate(timeout=250)[0] for process in both}
    assert len(names) == 1 and (tmp_path / "log").read_text() == "built\n"


@pytest.mark.parametrize(
    ("model", "precision", "message"),
    [
        ("smollm2", "int4", "precision 'int4': choose from float32, int8"),
        ("/nowhere", "int8", "--model /nowhere: neither embedded"),
    ],
)
def test_what_cannot_be_built_is_named(model, precision, message, cache):
    with pytest.raises(UserError, match=message):
        graph_folder(model, precision)


def test_the_graph_is_the_model(tiny, tiny_torch):
    import torch

    ids = [int(i) for i in np.random.default_rng(0).integers(3, tiny.vocab_size, 40)]
    with torch.inference_mode():
        logits = tiny_torch(torch.tensor([ids])).logits[0].numpy()
    np.testing.assert_allclose(tiny.score(ids), logits, atol=2e-4 * np.abs(logits).max())


def test_only_the_wanted_positions_are_computed(tiny):
    ids = [5, 6, 7, 8]
    everything = tiny.read(tiny.new_cache(4), 0, ids, positions=[0, 1, 2, 3])
    np.testing.assert_array_equal(tiny.read(tiny.new_cache(4), 0, ids, positions=[2, 0]), everything[[2, 0]])
    np.testing.assert_array_equal(tiny.read(tiny.new_cache(4), 0, ids), everything[3:])


def test_the_folder_says_what_the_engine_reads(tiny_graph, tiny):
    config = json.loads((tiny_graph / "genai_config.json").read_text())["model"]
    assert (tiny.vocab_size, tiny.context_length, tiny.end) == (config["vocab_size"], 512, 2)
