"""What can be refused is refused before a corpus is cleaned or a step is done, and leaves nothing behind."""

from dataclasses import replace

import pytest

from projects.pretrain_lm import peer, train_pretrain
from projects.pretrain_lm.config import SMOKE
from projects.pretrain_lm.data.clean_corpus import CorpusConfig
from projects.pretrain_lm.data.clean_corpus import main as clean
from projects.pretrain_lm.peer import PeerConfig
from projects.pretrain_lm.train_pretrain import main as train
from shared.errors import UserError


@pytest.fixture(autouse=True)
def _no_work(monkeypatch):
    def work(*_):
        raise AssertionError("work has begun")

    monkeypatch.setattr(train_pretrain, "prepare_corpus", work)
    monkeypatch.setattr(peer, "read_text", work)


def used(tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.txt").write_text("theirs")
    return tmp_path / "used"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"batch_size": 6, "accumulation": 4}, "does not divide"),
        ({"resume": True}, "is not there"),
    ],
)
def test_training_is_refused_before_the_corpus_is_cleaned(settings, said, tmp_path):
    with pytest.raises(UserError, match=said):
        train(replace(SMOKE, dataset=str(tmp_path), out=tmp_path / "run", **settings))
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_is_refused_before_the_corpus_is_cleaned(tmp_path):
    out = used(tmp_path)
    for command, config in ((train, replace(SMOKE, out=out)), (peer.main, PeerConfig(out=out))):
        with pytest.raises(UserError, match="in use and is not overwritten"):
            command(config)
    with pytest.raises(UserError, match="cannot write"):
        train(replace(SMOKE, out=out / "thesis.txt" / "run"))
    assert [path.read_text() for path in out.iterdir()] == ["theirs"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"width": 30, "heads": 4}, "does not divide into 4 heads"),
        ({"width": 12, "heads": 4}, "an odd one"),
        ({"layers": 0}, "layers 0"),
        ({"mask_ratio": 1.0}, "--mask_ratio 1.0"),
        ({"vocabulary": 100}, "--vocabulary 100: must be at least 260"),
        ({"context": 1}, "--context 1"),
        ({"limit": 0}, "--limit 0"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_as_it_is_made(settings, said):
    with pytest.raises(UserError, match=said):
        replace(SMOKE, **settings)


def test_a_dataset_that_is_not_there_leaves_no_folder(tmp_path):
    with pytest.raises(UserError, match="neither news nor a file"):
        clean(CorpusConfig(dataset=str(tmp_path / "nowhere"), out=tmp_path / "corpus"))
    assert not (tmp_path / "corpus").exists()


def test_a_corpus_is_not_written_among_somebodys_files(tmp_path):
    out = used(tmp_path)
    with pytest.raises(UserError, match="is in use and holds no corpus"):
        clean(CorpusConfig(dataset="news", limit=1, out=out))
    assert [path.read_text() for path in out.iterdir()] == ["theirs"]
