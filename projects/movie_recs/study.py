"""`make results-movie_recs`: every protocol of analysis/, each a cell, and the tables made of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from projects.movie_recs.analysis import (
    blends,
    colds,
    disliked,
    lists,
    newcomers,
    plots,
    policies,
    searching,
    served,
    warm,
)
from projects.movie_recs.analysis.shown import (
    BLEND_ARMS,
    BLENDS,
    COLD,
    DISLIKES,
    ERRORS,
    JOINED,
    LISTS,
    NEWCOMERS,
    PARTS,
    POLICIES,
    SEARCH,
    WARM,
    as_arms,
    views,
)
from projects.movie_recs.config import Config
from projects.movie_recs.data import dslabs
from projects.movie_recs.data.catalogue import Catalogue, load
from projects.movie_recs.data.films import story, without_names
from projects.movie_recs.data.ratings import Division, by_date, by_time, last_likes
from projects.movie_recs.embeddings import encoder
from projects.movie_recs.embeddings.encoder import unit
from projects.movie_recs.embeddings.vectors import KnownVectors, TextVectors, centring, genres, of_films, text_vectors
from shared import devices, study
from shared.errors import command
from shared.fingerprint.origin import file_digest
from shared.study import Done, Item, log_items, publish

PROJECT = "movie_recs"
RESULTS = Path("projects/movie_recs/results")
FEWEST = 15
"""Likes of a user whose last five are held out: five to learn from, five to choose on, five to test."""
PENALTIES = {"ml-100k": 400.0, "dslabs": 100.0}
"""What validation chose for EASE in the first table; the later ones take it as given."""
RULES = {"lists": 2}
SEARCHES = ("words", "minilm", "e5", "both")


@dataclass(frozen=True, kw_only=True)
class StudyConfig(study.Places):
    """Run every experiment behind the README's tables."""

    runs: Path = Path("runs/movie_recs/results")
    out: Path = RESULTS
    draws: int = colds.DRAWS
    candidates: int = 80


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a cell depends on beside its data."""

    what: str
    arm: str
    dataset: str
    size: int = 0
    rule: int = 1
    """Raised when a protocol changes, so that no cell of the one before is taken for its own."""


@dataclass
class Study:
    """Cells by name; each is made once."""

    config: StudyConfig

    @cached_property
    def rated(self) -> Catalogue:
        """MovieLens 100K, whole."""
        return load("ml-100k")

    @cached_property
    def told(self) -> Catalogue:
        """Films with a text."""
        dslabs.fetch()
        every = load("dslabs")
        return every.restricted(every.with_text)

    @cached_property
    def encoders(self) -> dict[str, encoder.Encoder]:
        """MiniLM and E5."""
        return {name: encoder.load(name) for name in ("minilm", "e5")}

    @cached_property
    def known(self) -> KnownVectors:
        """MiniLM's vectors."""
        return KnownVectors(self.encoders["minilm"])

    @cached_property
    def texts(self) -> TextVectors:
        """Vectors of the films' texts, those kept from earlier runs first."""
        return of_films(self.told.films, self.known)

    @property
    def served(self) -> tuple[np.ndarray, float, float]:
        """E5's vectors of the films' texts, λ of EASE and the weight of a predicted dislike: what the service takes."""
        given = Config()
        return of_films(self.told.films, KnownVectors(self.encoders["e5"])).pooled, given.penalty, given.gamma

    @cached_property
    def content(self) -> colds.Content:
        """Everything known of a film without ratings; texts whole, pooled, without names, and the plot alone."""
        masked = text_vectors([without_names(film) for film in self.told.films], self.known)
        plots_alone = text_vectors([story(film) for film in self.told.films], self.known)
        other = of_films(self.told.films, KnownVectors(self.encoders["e5"])).pooled
        forms = {"whole": self.texts.whole, "pooled": self.texts.pooled, "e5": other}
        return colds.Content(self.told, forms | {"masked": masked.pooled, "story": plots_alone.pooled})

    def cell(
        self, what: str, arm: str, catalogue: Catalogue, take: Callable[[], Iterable[Item]], size: int = 0
    ) -> Done:
        """A cell's items, made unless they are there."""
        asked = Asked(what=what, arm=arm, dataset=catalogue.name, size=size, rule=RULES.get(what, 1))
        name = "-".join(
            part.replace(" ", "_").replace(":", "").replace(",", "") for part in (what, arm, catalogue.name)
        )
        place = self.config.runs / f"{name}-{size}"
        return log_items(place, asked, take, project=PROJECT, data=self.digest(what, catalogue))

    def digest(self, what: str, catalogue: Catalogue) -> str:
        """Digest of the films and ratings, and of the descriptions where these are asked."""
        return file_digest(searching.FILE) + catalogue.digest if what == "search" else catalogue.digest


def divided(divide: Callable[[], Division]) -> Iterable[Item]:
    """The arms on a division that is made when it is asked for."""
    return warm.compare(divide())


def searched(run: Study, arm: str) -> Iterable[Item]:
    """A way of searching, with encoders that are loaded when they are asked for."""
    return searching.compare(arm, run.told.films, run.encoders)


def chilled(run: Study, arm: str) -> Iterable[Item]:
    """An arm on cold films, with texts that are encoded when they are asked for."""
    return colds.compare(arm, run.content, run.config.draws)


def warm_cells(run: Study) -> list[Done]:
    """Four divisions, every arm in each."""
    told = {
        "last five likes": (run.rated, partial(last_likes, run.rated.ratings, 5, FEWEST)),
        "one date": (run.rated, partial(by_date, run.rated.ratings)),
        "by user, in time": (run.rated, partial(by_time, run.rated.ratings)),
    }
    found = [run.cell("warm", name, data, partial(divided, divide)) for name, (data, divide) in told.items()]
    return [*found, run.cell("warm", "by user, in time", run.told, partial(divided, lambda: by_time(run.told.ratings)))]


def search_cells(run: Study) -> list[Done]:
    """Each way of searching."""
    return [run.cell("search", arm, run.told, partial(searched, run, arm)) for arm in SEARCHES]


def dislike_cells(run: Study) -> list[list[Done]]:
    """Each use of dislikes, beside likes alone."""
    found = []
    for data in (run.rated, run.told):
        division = by_time(data.ratings)
        cells = [
            run.cell("dislikes", arm, data, partial(disliked.compare, arm, division, PENALTIES[data.name]))
            for arm in disliked.ARMS
        ]
        found += [[each, cells[0]] for each in cells]
    return found


def list_cells(run: Study) -> list[list[Done]]:
    """Each λ of MMR, beside the order of relevance; λ is chosen on validation, whose cells say size 1."""
    division, pooled = by_time(run.told.ratings), run.texts.pooled
    others = {"centred": centring(pooled)(pooled), "genres": unit(genres(run.told.films)[0])}
    found = []
    for test in (True, False):
        cells = [
            run.cell(
                "lists",
                f"{trade:g}",
                run.told,
                partial(lists.compare, trade, division, pooled, others, PENALTIES["dslabs"], test),
                int(not test),
            )
            for trade in lists.TRADES
        ]
        found += [[each, cells[0]] for each in cells]
    return found


def main(config: StudyConfig) -> None:
    """Measure, write tables after each protocol, draw."""
    devices.use_all_cores()
    run, out = Study(config), config.out
    publish(JOINED, [[done] for done in join_cells(run)], out, PROJECT)
    publish(WARM, [[done] for done in warm_cells(run)], out, PROJECT)
    blend = run.cell("blend", "all", run.told, lambda: blends.compare(run.told, run.texts))
    publish(BLENDS, as_arms(blend, BLEND_ARMS), out, PROJECT)
    mixed = run.cell("parts", "all", run.told, lambda: served.compare(by_time(run.told.ratings), *run.served))
    publish(PARTS, as_arms(mixed, served.ARMS), out, PROJECT)
    cold = [run.cell("cold", arm, run.told, partial(chilled, run, arm), config.draws) for arm in colds.ARMS]
    publish(COLD, [[each, cold[colds.ARMS.index("genres and text")]] for each in cold], out, PROJECT)
    found = search_cells(run)
    publish(SEARCH, [[done] for done in found], out, PROJECT)
    study.write(out / f"{ERRORS.name}.csv", worst(found[2]), PROJECT)
    publish(DISLIKES, dislike_cells(run), out, PROJECT)
    publish(LISTS, list_cells(run), out, PROJECT)
    new = run.cell(
        "newcomers",
        "all",
        run.told,
        partial(newcomers.compare, run.told.ratings, candidates=config.candidates),
        config.candidates,
    )
    publish(NEWCOMERS, as_arms(new, newcomers.COUNTS), out, PROJECT)
    told = [run.cell("policies", name, run.told, partial(policies.compare, name)) for name in policies.ESTIMATORS]
    publish(POLICIES, [[done] for done in told], out, PROJECT)
    plots.main(plots.PlotConfig(results=out))
    study.finish(out, views(out))


def join_cells(run: Study) -> list[Done]:
    """How many texts were joined, by set of ratings, and why the others were not."""

    def counts(catalogue: Catalogue) -> Iterable[Item]:
        for (kind, outcome), count in sorted(catalogue.joined.items()):
            yield {f"{kind} {outcome}".replace(" ", "_"): float(count)}, {}
        yield {"with_text": float(len(catalogue.with_text)), "films": float(len(catalogue.films))}, {}

    return [run.cell("joined", "all", data, partial(counts, data)) for data in (load("dslabs"), run.rated)]


def worst(done: Done, count: int = 5) -> list[dict[str, Any]]:
    """Descriptions whose film stands farthest down, with the film that stands first."""
    order = np.argsort([-each["place"] for each in done.items], kind="stable")[:count]
    return [{name: done.items[row][name] for name in ("text", "film", "place", "first")} for row in order]


if __name__ == "__main__":
    command(main, StudyConfig)
