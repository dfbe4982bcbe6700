"""The whole study in small, a second start that measures nothing, and what stands in results/."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from projects.movie_recs import __main__ as way_in
from projects.movie_recs import study
from projects.movie_recs.analysis import colds, first, large, lists, loaded, newcomers, searching, served, shown, warm
from projects.movie_recs.analysis.protocol import sides
from projects.movie_recs.config import SMOKE, Config
from projects.movie_recs.data.catalogue import Catalogue
from projects.movie_recs.data.films import Film
from projects.movie_recs.data.ratings import by_date, by_time
from projects.movie_recs.embeddings.index import GRAPH_FROM
from projects.movie_recs.recommend.blend import blended
from projects.movie_recs.recommend.collaborative import popularity
from projects.movie_recs.recommend.dislikes import signed_ease
from projects.movie_recs.recommend.engine import Engine, Parts, taste_of
from projects.movie_recs.study import RESULTS
from shared.errors import UserError
from shared.lab.load import Line, Tally, taking
from shared.report import read_csv, stale_tables
from tests.movie_recs.world import WordEncoder, films, ratings, world


def asked(path):
    path.write_text(
        "descriptions = [\n"
        + "".join(
            f'{{ film = "{film.title}", year = {film.year}, '
            f'language = "{("es", "en")[n % 2]}", text = "{film.text}" }},\n'
            for n, film in enumerate(films(6))
        )
        + "]\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture
def small(tmp_path, cache, monkeypatch):
    words = WordEncoder()
    told = Catalogue(films(), ratings(), "dslabs", {("plot", "joined"): 30})
    rated = Catalogue(films(), ratings(seed=1), "ml-100k", {("plot", "joined"): 30})
    monkeypatch.setattr(study, "load", lambda name: told if name == "dslabs" else rated)
    monkeypatch.setattr(study.dslabs, "fetch", lambda: None)
    monkeypatch.setattr(study.encoder, "load", lambda _: words)
    monkeypatch.setattr(searching, "FILE", asked(tmp_path / "d.toml"))
    monkeypatch.setattr(study, "FEWEST", 11)
    return study.StudyConfig(runs=tmp_path / "runs", out=tmp_path / "results", draws=2, candidates=4)


def test_a_study_from_nothing_and_again(small, monkeypatch):
    study.main(small)
    names = {path.stem for path in small.out.glob("*.csv")}
    assert names == {table.name for table in shown.TABLES} - {table.name for table in shown.MEASURED}
    assert {path.name for path in small.out.glob("*.png")} == {
        f"{name}{language}.png" for name in ("cold", "lists", "newcomers") for language in ("", ".es")
    }
    rows = {row["arm"]: row for row in read_csv(small.out / "cold.csv")}
    assert rows["text"]["ndcg"] > rows["random"]["ndcg"] + 0.1 and rows["genres and text"]["gap"] == 0
    assert all(row["ndcg_low"] <= row["ndcg"] <= row["ndcg_high"] for row in rows.values())
    before = (small.out / "lists.csv").read_bytes()
    for protocol in (warm, colds, lists, newcomers, searching):
        monkeypatch.setattr(protocol, "compare", lambda *_, **__: pytest.fail("it was measured again"))
    study.main(small)
    assert (small.out / "lists.csv").read_bytes() == before
    for language in ("en", "es"):
        for table, found in shown.views(small.out).values():
            assert table.markdown(found, language)


def test_the_way_in_says_what_it_found(cache, monkeypatch, capsys):
    monkeypatch.setattr(way_in, "films", lambda _: world())
    monkeypatch.setattr(way_in, "load", lambda _: WordEncoder())
    found = way_in.main(SMOKE)
    said = capsys.readouterr().out
    assert "because of" in said and "Where films have ratings" in said
    assert found["cold text"] > found["cold random"] and found["EASE"] > found["popular"]


def test_without_the_larger_set_the_smaller_one_is_taken_and_said(monkeypatch, capsys):
    def absent():
        raise UserError("apt-get is missing")

    monkeypatch.setattr(first.dslabs, "fetch", absent)
    monkeypatch.setattr(first, "load", lambda name: replace(world(), name=name))
    assert way_in.films(Config()).name == "ml-100k"
    assert "apt-get is missing; going on with ml-100k" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [({"penalty": 0.0}, "--penalty"), ({"diversity": 1.5}, "--diversity"), ({"places": 0}, "--places"),
     ({"gamma": -1.0}, "--gamma"), ({"places": 5000}, "--places")],
)  # fmt: skip
def test_bad_options_are_one_line(change, said):
    with pytest.raises(UserError, match=said):
        Config(**change)


# ---------------------------------------------------------------- protocols


def test_nobody_is_judged_on_what_is_known_of_him():
    for divide in (by_time, by_date):
        for side in sides(divide(ratings())):
            assert side.known.matrix().multiply(side.wanted).nnz == 0
            assert side.who.sum() > 0
            best = side.wanted.toarray() + 0.0
            assert np.allclose(side.ndcg(best), 1) and side.quality(best) == pytest.approx(1)


def test_users_without_a_past_are_told_apart():
    wish, without = warm.unmatched(by_date(ratings()))
    assert 0 <= without <= wish and wish > 0


def test_a_draw_knows_nothing_of_its_cold_films():
    likes = ratings().likes()
    draw = colds.drawn(likes, 3)
    assert len(draw.cold) == 6 and not set(draw.cold) & set(draw.warm)
    assert (draw.likes != likes[:, draw.warm]).nnz == 0 and (draw.wanted != likes[:, draw.cold]).nnz == 0
    inside = colds.inner(draw, 3)
    assert inside.wanted.shape[1] + inside.likes.shape[1] == len(draw.warm)
    changed = likes.tolil()
    changed[:, draw.cold] = 1
    again = colds.drawn(changed.tocsr(), 3)
    assert np.allclose(again.warm_scores, draw.warm_scores), "what is learned does not depend on cold films' ratings"


def test_a_proxy_is_not_in_the_text_that_it_is_asked_of():
    told = [replace(film, text=f"{film.text} The end {film.id} comes.") for film in films(9)]
    texts, questions = searching.proxies(told, 4)
    assert len(questions) == 4
    for question in questions:
        assert question.text in told[question.film].text and question.text not in texts[question.film]


def test_the_hand_written_set_is_whole(tmp_path):
    import tomllib

    told = tomllib.loads(searching.FILE.read_text(encoding="utf-8"))["descriptions"]
    assert len(told) == 60 and sum(each["language"] == "es" for each in told) == 30
    assert len({(each["film"], each["year"]) for each in told}) == 60
    with pytest.raises(UserError, match="is not in the catalogue"):
        searching.descriptions([Film(id=1, title="Nothing")], searching.FILE)


def test_the_parts_that_are_weighed_are_those_of_the_engine():
    """Blended by the study, a user's films stand in the order in which the engine lists them."""
    _, side = sides(by_time(ratings()))
    vectors = np.random.default_rng(0).standard_normal((30, 16)).astype(np.float32)
    weights = {"ratings": 1.0, "text": 0.6, "popular": 0.4}
    blended_ = blended(served.parts(side, vectors, 20.0, 0.5, Parts().gamma), weights)
    likes, dislikes = side.known.likes(), side.known.dislikes()
    engine = Engine(16, vectors.mean(0), Parts(**weights, diversity=1.0))
    engine.put(films(), vectors)
    both = signed_ease(likes, dislikes, 20.0).model.weights
    engine.learn(both[:, 0::2] - 0.5 * both[:, 1::2], popularity(likes))
    for user in np.flatnonzero(side.who)[:8]:
        told = ((100 + film, stars) for film, stars in zip(*rated_by(side.known, user), strict=True))
        found = [place.film.id - 100 for place in engine.recommend(taste_of(told), 30)]
        assert found == [film for film in np.argsort(-blended_[user], kind="stable") if film in set(found)]
        assert len(found) == 30 - side.known.matrix()[user].nnz


def rated_by(known, user):
    own = known.user == user
    order = np.argsort(known.film[own])  # as the store gives them
    return known.film[own][order].tolist(), known.stars[own][order].tolist()


# ---------------------------------------------------------------- results


def test_the_readmes_show_what_the_files_say():
    assert stale_tables(RESULTS, shown.views(RESULTS)) == []


def test_results_are_what_the_readme_claims_of_them():
    cold = {row["arm"]: row for row in read_csv(RESULTS / "cold.csv")}
    search = {row["arm"]: row for row in read_csv(RESULTS / "search.csv")}
    trades = {(row["trade"], row["part"]): row for row in read_csv(RESULTS / "lists.csv")}
    assert cold["genres"]["ndcg"] < cold["text"]["ndcg"] < cold["popularity (oracle)"]["ndcg"]
    assert 0.75 < cold["names masked"]["ndcg"] / cold["text"]["ndcg"] < 0.85, "a fifth"
    best, plain = trades[0.6, "test"], trades[1, "test"]
    assert best["diversity"] > 1.2 * plain["diversity"] and best["ndcg"] > 0.97 * plain["ndcg"]
    kept = [trade for (trade, part), row in trades.items()
            if part == "validation" and row["ndcg"] >= 0.97 * trades[1, "validation"]["ndcg"]]  # fmt: skip
    assert min(kept) == 0.6, "λ is chosen on validation"
    assert search["e5"]["found"] >= 0.6 > search["words"]["found"]


# ---------------------------------------------------------------- the bench


def test_indexes_are_compared_on_the_same_queries():
    rows = large.searched(300, list(large.INDEXES))
    assert [row["index"] for row in rows] == list(large.INDEXES)
    assert rows[0]["recall"] == 1 and all(row["recall"] > 0.95 for row in rows)


def test_a_load_is_told_in_a_row():
    tally = Tally({200: [each / 1000 for each in range(1, 101)], 503: [0.002], 0: [0.009], 500: [0.009]})
    row = loaded.row_of(tally, 50.0, 2.0)
    assert row["answered_a_second"] == 50 and row["refused"] == round(1 / 103, 4) and row["other"] == 2
    assert row["p50_ms"] == 50.0 and row["p99_ms"] == 99.0 and row["refusal_p99_ms"] == 2
    assert loaded.row_of(Tally(), 1.0, 1.0)["p99_ms"] == 0


class Kept(Line):
    """A connection that keeps what it is sent, and answers at once."""

    def __init__(self):
        super().__init__("http://127.0.0.1:9")
        self.sent = []

    def send(self, method, path, body=None, headers=None):
        self.sent.append((method, path))
        return 200, b""


def test_the_limit_is_where_more_clients_are_not_answered_more(monkeypatch):
    tried = []

    def closed(clients, seconds):
        tried.append(len(clients))
        for _ in range(min(10 * len(clients), 160)):
            clients[0](0.0)
        return 1.0

    monkeypatch.setattr(loaded, "closed", closed)
    lines = [Kept() for _ in range(64)]
    whom = [loaded.Somebody({}, [1, 2])]
    assert loaded.sustained(lines, whom, taking(itertools.count()), 1.0) == 160
    assert tried == [4, 8, 16, 32], "the fourth gains nothing"


def test_every_tenth_request_rates_a_film_and_the_others_ask_for_a_list():
    line = Kept()
    whom = [loaded.Somebody({"Cookie": "a"}, [7]), loaded.Somebody({"Cookie": "b"}, [8])]
    ask = loaded.asking(line, whom, taking(itertools.count()), Tally())
    for _ in range(20):
        ask(0.0)
    assert [method for method, _ in line.sent].count("PUT") == 2 and line.sent[0] == ("PUT", "/api/ratings/7")


def test_the_graph_is_used_from_where_it_pays():
    rows = {(row["index"], row["films"]): row for row in read_csv(RESULTS / "index.csv")}
    graphs = [row for (name, _), row in rows.items() if name == "HNSW" and row["recall"] >= 0.95]
    pays = [row["films"] for row in graphs if row["ms_p50"] < rows["exact", row["films"]]["ms_p50"]]
    assert min(pays) == GRAPH_FROM
