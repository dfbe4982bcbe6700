"""The judge is trained once, is the same for everybody who asks, and is refused when its weights changed."""

import json

import pytest
import torch

from shared import judge as module
from shared.assets import load_dataset
from shared.errors import UserError
from shared.judge import SAID, WEIGHTS, Rater, load_judge


@pytest.fixture(scope="module")
def small(tmp_path_factory, save_tiny_bert):
    """A tiny encoder, and a judge on it of 320 reviews in a cache of its own."""
    folder = tmp_path_factory.mktemp("judge")
    save_tiny_bert(folder / "model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC0C2_CACHE", str(folder / "cache"))
        yield str(folder / "model"), load_judge(str(folder / "model"), reviews=320)


def test_it_is_trained_once(small, monkeypatch):
    model, judge = small
    monkeypatch.setattr(module, "train_judge", lambda *_: pytest.fail("it was trained again"))
    again = load_judge(model, reviews=320)
    texts = ["A moving film .", "Noise .", "It has its moments , but few ."]
    assert again.digest == judge.digest and torch.equal(again.rate(texts), judge.rate(texts))


def test_what_is_said_of_it_is_what_it_does(small):
    """The kept correlation is that of its scores with the raters' means of the validation reviews."""
    _, judge = small
    held_out = load_dataset("movie_reviews")["validation"]
    scores = judge.rate(list(held_out["text"]))
    pair = torch.stack([scores, torch.tensor(list(held_out["score"]))])
    assert judge.correlation == pytest.approx(float(torch.corrcoef(pair)[0, 1]), abs=1e-6)
    assert judge.reviews == len(held_out) == 1057


def test_a_text_alone_is_rated_as_in_a_batch(small):
    _, judge = small
    texts = ["Good .", "A very long and rather tedious film about nothing at all , with songs ."]
    torch.testing.assert_close(judge.rate(texts), torch.cat([judge.rate([text]) for text in texts]), atol=1e-5, rtol=0)


class FakeSplit(dict):
    """Columns with as many rows as the first."""

    def __len__(self):
        return len(self["text"])


def test_it_learns_what_raters_mean(tmp_path, save_tiny_bert, monkeypatch):
    """Two reviews of one length, worth +2 and −2, many times: it tells them apart."""
    texts = ["a wonderful film", "a miserable film"] * 320
    scores = [2.0, -2.0] * 320
    part = {"text": texts, "score": scores}
    monkeypatch.setattr(module, "LR", 3e-3)  # a tiny encoder of random weights is in no hurry
    monkeypatch.setattr(module, "HEAD_LR", 3e-2)
    monkeypatch.setattr(module, "load_dataset", lambda _: {"train": part, "validation": FakeSplit(part)})
    monkeypatch.setenv("CC0C2_CACHE", str(tmp_path / "cache"))
    save_tiny_bert(tmp_path / "model")
    judge = load_judge(str(tmp_path / "model"))
    good, bad = judge.rate(texts[:2])
    assert good > bad + 1 and judge.correlation > 0.9


def test_two_judges_can_share_no_review(tmp_path, save_tiny_bert, monkeypatch):
    """The later half of these reviews says the opposite: a judge that begins behind the first half says so too."""
    texts = ["a wonderful film", "a miserable film"] * 640
    part = {"text": texts, "score": [2.0, -2.0] * 320 + [-2.0, 2.0] * 320}
    monkeypatch.setattr(module, "LR", 3e-3)
    monkeypatch.setattr(module, "HEAD_LR", 3e-2)
    monkeypatch.setattr(module, "load_dataset", lambda _: {"train": part, "validation": FakeSplit(part)})
    monkeypatch.setenv("CC0C2_CACHE", str(tmp_path / "cache"))
    save_tiny_bert(tmp_path / "model")
    first, second = (load_judge(str(tmp_path / "model"), reviews=640, after=after) for after in (0, 640))
    (good, bad), (worse, better) = first.rate(texts[:2]), second.rate(texts[:2])
    assert good > bad + 1 and better > worse + 1
    assert first.digest != second.digest


def test_weights_that_changed_are_refused(small):
    model, _ = small
    (folder,) = (module.cache_folder() / "models").glob("judge-*-v1")
    raw = (folder / WEIGHTS).read_bytes()
    try:
        (folder / WEIGHTS).write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
        with pytest.raises(UserError, match="weights changed since it was trained"):
            load_judge(model, reviews=320)
    finally:
        (folder / WEIGHTS).write_bytes(raw)
    assert json.loads((folder / SAID).read_text())["reviews"] == 1057


def test_only_the_top_layers_and_the_head_are_kept(small):
    _, judge = small
    names = {name for name, each in Rater.named_parameters(judge.rater) if each.requires_grad}
    assert set(judge.rater.trained()) == names and "head.weight" in names
    assert not any("embeddings" in name for name in names)
