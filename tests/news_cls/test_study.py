"""Four parts of the study in small: their tables and figures, and a second start that trains nothing."""

from dataclasses import replace

import pytest

from projects.news_cls import figures, study
from projects.news_cls.data.articles import Article, divide, grouped
from projects.news_cls.measure import finished, shown
from projects.news_cls.models.prepared import Prepared
from shared.errors import UserError
from shared.report import read_csv, stale_tables
from tests.news_cls.conftest import news_rows

DRAW = figures.draw
TOPICS = {"money": "business", "sport": "sport", "tech": "tech"}


def articles(count, start=0, outlet="bbc"):
    rows = [Article(text, TOPICS[label], outlet=outlet, date="2004") for text, label in news_rows(count, start)]
    return grouped(rows)


@pytest.fixture
def small(base, tmp_path, monkeypatch):
    """Three topics, twelve labels, two divisions; 2017 is the same world with other items."""
    worlds = {name: articles(180, 1000 * n) for n, name in enumerate(("bbc", "r52", "r8"))}
    later = articles(120, 9000, "cnn")

    def corpus(name, seed=0, **_):
        return divide(name, later if name == "outlets" else worlds[name], seed)

    monkeypatch.setattr("projects.news_cls.models.prepared.read_corpus", corpus)
    for module in (study, finished):
        monkeypatch.setattr(module, "corpus", corpus)
    study.digest_of.cache_clear()
    monkeypatch.setattr(finished, "outlets", lambda: later)
    monkeypatch.setattr(finished, "bbc", lambda: worlds["bbc"])
    monkeypatch.setattr(finished, "TOPICS", ("business", "sport", "tech"))
    monkeypatch.setattr(finished, "NEW_LABELS", (2,))
    monkeypatch.setattr(finished, "later_news", lambda: later[:9])
    monkeypatch.setattr(finished.drift_power, "REFERENCE", 20)
    monkeypatch.setattr(study, "FEW", (2,))
    monkeypatch.setattr(study, "BALANCES", ("none", "logit"))
    monkeypatch.setattr(study, "PLAIN", ("none",))
    monkeypatch.setattr(study, "TUNED", (("tuned", True),))
    for name in ("FEW_TOKENS", "RARE_TOKENS", "TOKENS"):
        monkeypatch.setattr(study, name, 16)
    monkeypatch.setattr(study, "SHORT", 16)
    monkeypatch.setattr(study.figures, "draw", lambda _: None)  # after every part; the test draws once
    config = study.StudyConfig(runs=tmp_path / "runs", out=tmp_path / "results")
    return study.Study(config, replace(base, dataset="bbc"), (0, 1), trials=2, draws=4, batches=(10, 10),
                       strengths=(0.5,), explained=2, steps=4, corpora=("bbc", "outlets"))  # fmt: skip


PARTS = ("few", "updates", "time", "sure", "reasons")


@pytest.mark.timeout(400)
def test_parts_of_a_study_from_nothing_and_again(small, monkeypatch):
    study.main(replace(small.config, only=PARTS), small)
    out = small.config.out
    few = read_csv(out / "few.csv")
    assert len(few) == 2 * len(study.BASELINES) and all(row["seeds"] == 2 for row in few)
    assert {row["mode"] for row in read_csv(out / "time.csv")} >= {*finished.NAMES.values(), "no new labels"}
    candidates = read_csv(out / "candidates.csv")
    for arm in ("svm", "frozen"):
        first = [r for r in candidates if (r["arm"], r["labels"], r["dataset"]) == (arm, 2, "bbc")]
        assert len(first) == 2 * len({row["unlabelled"] for row in first}), f"two candidates of {arm}"
    DRAW(out)
    assert {path.name for path in out.glob("*.png")} >= {"few.png", "few.es.png", "time.png", "reliability.png"}
    before = (out / "few.csv").read_bytes()
    monkeypatch.setattr(study, "train", lambda *_: pytest.fail("it was trained again"))
    again = study.Study(small.config, small.base, small.seeds)
    study.main(replace(small.config, only=("few",)), again)
    assert (out / "few.csv").read_bytes() == before
    for language in ("en", "es"):
        for table, found in shown.views(out).values():
            assert table.markdown(found, language)


def test_a_part_that_there_is_not(small):
    with pytest.raises(UserError, match="--only nonsense: the parts are few"):
        study.main(replace(small.config, only=("nonsense",)), small)


def test_halves_share_no_story_and_hold_every_topic():
    rows = articles(120)
    pool, test = finished.halves(rows, 0)
    assert not {each.group for each in pool} & {each.group for each in test} and len(pool) + len(test) == len(rows)
    assert {each.label for each in pool} == {each.label for each in test} == set(TOPICS.values())


def test_later_news_are_thirty_of_five_topics():
    rows = finished.later_news()
    assert len(rows) == 30 and len({each.text for each in rows}) == 30
    assert all(sum(each.label == topic for each in rows) == 6 for topic in finished.TOPICS)


def test_readmes_show_what_was_measured():
    assert stale_tables(study.RESULTS, shown.views(study.RESULTS)) == []


def test_prepared_reads_a_text_once(base):
    prepared = Prepared()
    assert prepared.corpus(base) is prepared.corpus(base)
