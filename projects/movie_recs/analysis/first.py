"""The main job once: what each part finds, and one person's list with its reasons."""

from collections.abc import Iterator

import numpy as np

from projects.movie_recs.analysis import colds
from projects.movie_recs.analysis.protocol import sides
from projects.movie_recs.analysis.warm import popular
from projects.movie_recs.config import Config
from projects.movie_recs.data import dslabs
from projects.movie_recs.data.catalogue import Catalogue, load
from projects.movie_recs.data.films import sentences
from projects.movie_recs.data.ratings import by_time
from projects.movie_recs.embeddings.vectors import TextVectors, centring, unit
from projects.movie_recs.recommend.blend import standardised
from projects.movie_recs.recommend.cold import nearest
from projects.movie_recs.recommend.collaborative import ease, neighbours
from projects.movie_recs.recommend.dislikes import signed_ease
from projects.movie_recs.recommend.diversity import mmr, scaled
from projects.movie_recs.recommend.explain import plot_sentences, reason, strongest

TEXT_WEIGHT = 0.2


def films(config: Config) -> Catalogue:
    """Films with a text, and their ratings; where the larger set cannot be had, the smaller one, said in a line."""
    every = load(dslabs.fetched_or_smaller() if config.dataset == "dslabs" else config.dataset)
    return every.restricted(every.with_text)


def compared(catalogue: Catalogue, texts: TextVectors, config: Config) -> list[tuple[str, float]]:
    """nDCG@10 of each part on each user's last fifth of ratings, and of ratings and text together."""
    _, side = sides(by_time(catalogue.ratings))
    likes, barred = side.known.likes(), side.known.matrix()
    features = centring(texts.pooled)(texts.pooled)
    collaborative = ease(likes, config.penalty).score(likes)
    text = nearest(likes, features, features)
    both = standardised(collaborative, barred) + TEXT_WEIGHT * standardised(text, barred)
    arms = {
        "popular": popular(side.known, None),
        "text alone": text,
        "neighbours": neighbours(likes).score(likes),
        "EASE": collaborative,
        "EASE and text": both,
    }
    return [(name, side.quality(scores)) for name, scores in arms.items()]


def on_cold_films(catalogue: Catalogue, texts: TextVectors, config: Config) -> list[tuple[str, float]]:
    """nDCG@10 on a fifth of the films, of which no rating is known."""
    content = colds.Content(catalogue, {"pooled": texts.pooled})
    draw = colds.drawn(catalogue.ratings.likes(), config.seed)
    fields = {**colds.FIELD_WEIGHTS, "pooled": 1.0}
    arms = {name: colds.score(name, draw, content, config.seed) for name in ("random", "genres", "text")}
    arms["head on text and fields"] = colds.headed(draw, content, fields, config.ridge)
    return [(name, draw.quality(scores)) for name, scores in arms.items()]


def listed(catalogue: Catalogue, texts: TextVectors, config: Config) -> Iterator[str]:
    """One person's list, each film with the liked one that speaks for it and a sentence of its plot."""
    _, side = sides(by_time(catalogue.ratings))
    likes, dislikes = side.known.likes(), side.known.dislikes()
    model = signed_ease(likes, dislikes, config.penalty)
    counts = np.asarray(likes.sum(1)).ravel()
    user = int(np.flatnonzero(side.who & (counts >= 8) & (counts <= 30))[config.seed % 5])
    scores = model.score(likes[[user]], dislikes[[user]], config.gamma)[0]
    free = np.setdiff1d(np.arange(len(scores)), side.known.matrix()[user].indices)
    pool = free[np.argsort(-scores[free], kind="stable")[: 5 * config.places]]
    order = pool[mmr(scaled(scores[pool]), unit(texts.pooled[pool]), config.places, config.diversity)]
    liked = likes[user].indices
    yield f"liked: {', '.join(catalogue.films[film].title for film in liked[:8])}"
    for place, row in enumerate(order, start=1):
        film = catalogue.films[row]
        why = _why(catalogue, texts, model.model.weights, liked, int(row))
        yield f"{place:>3}  {film.title} ({film.year}){why}"


def _why(catalogue: Catalogue, texts: TextVectors, weights: np.ndarray, liked: np.ndarray, row: int) -> str:
    found = strongest(weights[2 * liked, 2 * row])
    if found is None:
        return ""
    source = int(liked[found[0]])
    every, quotable = sentences(catalogue.films[row].text), set(plot_sentences(catalogue.films[row]))
    kept = [place for place in range(len(texts.of_film(row))) if every[place] in quotable]
    near = texts.of_film(row)[kept] @ texts.pooled[source]
    told = [every[place] for place in kept]
    why = reason(catalogue.films[row], catalogue.films[source], found[1], told, near)
    both = "; ".join(", ".join(each) for each in (why.genres, why.people) if each)
    return (
        f": because of {catalogue.films[source].title}{f' (in common: {both})' if both else ''}. {why.sentence[:110]}"
    )
