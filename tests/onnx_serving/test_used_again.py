"""What is used again, what is made anew, and what is refused: a finished run, an export, a folder of somebody's own."""

import shutil
from dataclasses import replace

import pytest

from projects.onnx_serving import __main__ as command
from projects.onnx_serving.config import Config
from projects.onnx_serving.export import folder as graphs
from projects.onnx_serving.export.folder import export_if_needed
from projects.onnx_serving.paths import QA
from projects.onnx_serving.training import train_qa
from projects.onnx_serving.training import trained as runs
from projects.onnx_serving.training.trained import run_directory, trained_run
from shared.errors import UserError
from shared.files import atomic_directory, write_json
from shared.fingerprint import seal_directory, team_key
from shared.fingerprint.origin import file_digest


class StopError(Exception):
    """In the place of a process that is stopped."""


@pytest.fixture
def finished(smoke, run):
    """A finished run's configuration, its directory in `out`."""
    return replace(smoke, out=run.directory)


def untouched(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_of_somebodys_own_is_refused_and_nothing_in_it_is_touched(smoke, tmp_path):
    folder = tmp_path / "thesis"
    (folder / "model").mkdir(parents=True)
    (folder / "chapter1.txt").write_text("mine")
    (folder / "model" / "weights.bin").write_bytes(b"mine")
    before = untouched(folder)
    with pytest.raises(UserError, match="in use"):
        trained_run(replace(smoke, out=folder))
    assert untouched(folder) == before


def test_a_finished_run_is_used_again_for_what_it_was_trained_on_and_refused_for_anything_else(finished, monkeypatch):
    monkeypatch.setattr(runs, "train", lambda _: pytest.fail("trained again"))
    before = untouched(finished.out)
    assert trained_run(finished) == finished.out
    for changes, named in (({"epochs": 3, "limit": 7}, "epochs, limit"), ({"seed": 1}, "seed")):
        with pytest.raises(UserError, match=f"another {named}"):
            trained_run(replace(finished, **changes))
    films = train_qa.load_films()
    monkeypatch.setattr(train_qa, "load_films", lambda: {name: part[1:] for name, part in films.items()})
    with pytest.raises(UserError, match="another data"):
        trained_run(finished)
    assert untouched(finished.out) == before


def test_a_run_that_was_stopped_before_its_first_checkpoint_is_begun_again(smoke, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise StopError

    config = replace(smoke, epochs=1, out=tmp_path / "qa")
    with monkeypatch.context() as patched, pytest.raises(StopError):
        patched.setattr(train_qa, "shuffled", stopped)
        trained_run(config)
    (config.out / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"notes\.txt"):
        trained_run(config)
    (config.out / "notes.txt").unlink()
    assert trained_run(config) == config.out and (config.out / "result.json").exists()


def test_each_configuration_has_a_place_of_its_own():
    assert run_directory(Config()) == QA
    others = [Config(limit=24), Config(limit=25), Config(seed=1), Config(epochs=1)]
    assert len({run_directory(each) for each in [Config(), *others]}) == 5
    assert run_directory(Config(limit=24)) == run_directory(Config(limit=24))


@pytest.fixture
def export(monkeypatch):
    """In the place of the real export: a sealed folder that says what it was made from. Counts its calls."""
    made = []

    def export(config):
        with atomic_directory(config.out) as folder:
            write_json(folder / "serving.json", {"made_from": file_digest(config.qa / "manifest.json")})
            seal_directory(folder, {"project": "onnx_serving", "step": 0}, team_key())
        made.append(config.out)
        return config.out

    monkeypatch.setattr(graphs, "export", export)
    return made


def test_an_export_is_used_again_for_its_model_and_made_anew_for_another(finished, export, tmp_path, capsys):
    qa, out = finished.out / "model", tmp_path / "exported"
    export_if_needed(qa, out)
    export_if_needed(qa, out)
    assert len(export) == 1
    other = shutil.copytree(qa, tmp_path / "other")
    (other / "manifest.json").write_text((other / "manifest.json").read_text() + " ")
    export_if_needed(other, out)
    assert len(export) == 2 and "made anew" in capsys.readouterr().out


def test_an_export_is_not_replaced_where_anything_else_is_in_its_folder(finished, export, tmp_path):
    out = tmp_path / "exported"
    export_if_needed(finished.out / "model", out)
    (out / "letter.txt").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text("{}")
    with pytest.raises(UserError, match=r"letter\.txt"):
        export_if_needed(tmp_path / "other", out)
    shutil.rmtree(out)
    out.mkdir()
    (out / "letter.txt").write_text("mine")
    with pytest.raises(UserError, match="no export of this project"):
        export_if_needed(finished.out / "model", out)
    assert (out / "letter.txt").read_text() == "mine"


def test_a_folder_of_graphs_that_is_none_is_refused_before_training(smoke, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "trained_run", lambda _: pytest.fail("trained"))
    (tmp_path / "exported").mkdir()
    with pytest.raises(UserError, match="no export of this project"):
        command.main(replace(smoke, out=tmp_path))
    (tmp_path / "exported").rmdir()
    (tmp_path / "exported").symlink_to(tmp_path / "nothing")
    with pytest.raises(UserError, match="no export of this project"):
        command.main(replace(smoke, out=tmp_path))
