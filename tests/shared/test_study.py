"""A cell is used again only if its configuration and its data are those asked for, and nothing is lost beside it."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from shared.errors import UserError
from shared.files import write_json
from shared.runs import Run, read_json
from shared.study import complete


@dataclass(frozen=True)
class Config:
    dataset: str = "trec"
    epochs: int = 3
    out: Path | None = None
    resume: bool = False


class Stopped(Exception):
    pass


def cell(directory, config=None, *, data="aa", stop=None):
    """Complete a cell whose result tells the configuration. Returns (its directory, how often it was trained)."""
    config, trained = config or Config(), []

    def train(place, resume):
        trained.append(resume)
        with Run(place, project="test", config=config, resume=resume, data=data) as run:
            if stop == "begun":
                raise Stopped
            if not resume:
                run.save(1, {"w": torch.ones(1)})
            if stop == "saved":
                raise Stopped
            run.log(1, score=config.epochs)
        write_json(place / "result.json", {"epochs": config.epochs, "dataset": config.dataset})

    return complete(directory, config, train, project="test", data=data), trained


def test_a_finished_cell_is_not_trained_again(tmp_path):
    assert cell(tmp_path / "full") == (tmp_path / "full", [False])
    assert cell(tmp_path / "full", replace(Config(), out=tmp_path, resume=True)) == (tmp_path / "full", [])


@pytest.mark.parametrize(
    ("config", "data", "said"),
    [
        (Config(epochs=30), "aa", "another epochs"),
        (Config(dataset="movie_reviews"), "aa", "another dataset"),
        (Config(), "bb", "another data"),
        (Config(dataset="movie_reviews", epochs=30), "bb", "another dataset, epochs, data"),
    ],
)
def test_another_configuration_or_other_data_are_trained_beside(tmp_path, capsys, config, data, said):
    first, _ = cell(tmp_path / "full")
    kept = (first / "metrics.jsonl").read_bytes()
    second, trained = cell(tmp_path / "full", config, data=data)
    assert (second, trained) == (tmp_path / "full-2", [False])
    assert read_json(second / "result.json") == {"epochs": config.epochs, "dataset": config.dataset}
    assert said in capsys.readouterr().out
    assert (first / "metrics.jsonl").read_bytes() == kept
    assert cell(tmp_path / "full", config, data=data) == (second, [])
    assert cell(tmp_path / "full") == (first, [])


def test_a_stopped_cell_goes_on_from_its_checkpoint_or_begins_again(tmp_path):
    for stop, again in (("begun", [False]), ("saved", [True])):
        with pytest.raises(Stopped):
            cell(tmp_path / stop, stop=stop)
        assert cell(tmp_path / stop) == (tmp_path / stop, again)


def test_what_is_not_ours_is_left_alone(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    assert cell(tmp_path / "full")[0] == tmp_path / "full-2"
    assert (tmp_path / "full" / "thesis.txt").read_text() == "mine"
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "metrics.jsonl").write_text("mine\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl: TAMPERED.*not removed"):
        cell(tmp_path / "log")
    assert (tmp_path / "log" / "metrics.jsonl").read_text() == "mine\n"
