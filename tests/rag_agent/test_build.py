"""What can be refused is refused before a passage is embedded."""

import pytest

from projects.rag_agent import measure, study
from projects.rag_agent.agents import build
from projects.rag_agent.agents.build import open_agent
from projects.rag_agent.config import Config
from projects.rag_agent.study import StudyConfig
from shared.errors import UserError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Documents, and an embedder that must not be made."""

    def work(*_, **__):
        raise AssertionError("work has begun")

    monkeypatch.setattr(build, "Embedder", work)
    monkeypatch.setattr(measure, "Embedder", work)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "owls.txt").write_text("Owls hunt at night.")
    return tmp_path


def test_a_model_that_is_not_there_is_said_first(folder):
    with pytest.raises(UserError, match="nowhere"):
        open_agent(Config(dataset=str(folder / "docs"), model="nowhere", out=folder / "index"))
    assert not (folder / "index" / "versions").exists()
    with pytest.raises(UserError, match="nowhere"):
        study.main(StudyConfig(model="nowhere", runs=folder / "runs", out=folder / "out"))


def test_a_folder_that_cannot_be_written_is_said_first(folder):
    under_a_file = folder / "docs" / "owls.txt" / "index"
    with pytest.raises(UserError, match="cannot write"):
        open_agent(Config(dataset=str(folder / "docs"), out=under_a_file))
    for settings in ({"runs": under_a_file}, {"runs": folder / "runs", "out": under_a_file}):
        with pytest.raises(UserError, match="cannot write"):
            study.main(StudyConfig(**settings))
