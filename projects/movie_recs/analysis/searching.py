"""Sixty descriptions in two languages: is the film among the first ten? Weights are chosen on other questions."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from sklearn.feature_extraction.text import TfidfVectorizer

from projects.movie_recs.data.films import Film, sentences, story
from projects.movie_recs.data.titles import title_key, title_keys
from projects.movie_recs.embeddings.encoder import Encoder
from projects.movie_recs.embeddings.vectors import KnownVectors, TextVectors, text_vectors
from projects.movie_recs.recommend.search import SearchWeights, place_of, searched
from shared.errors import UserError
from shared.study import Item

FILE = Path(__file__).parents[1] / "descriptions.toml"
PROXIES = 120
"""Films whose last sentence of story is taken out of their text and asked for: what weights are chosen on."""
WEIGHTS = (
    SearchWeights(1.0, 0.0, 0.0),
    SearchWeights(0.0, 1.0, 0.0),
    SearchWeights(0.0, 0.0, 1.0),
    SearchWeights(1.0, 1.0, 0.0),
    SearchWeights(1.0, 0.0, 1.0),
    SearchWeights(0.0, 1.0, 1.0),
    SearchWeights(1.0, 1.0, 1.0),
    SearchWeights(0.5, 0.5, 1.0),
)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Weight of the first of two encoders, where both are asked."""


@dataclass(frozen=True)
class Description:
    """Somebody's words for a film.

    Attributes:
        film: Its row in the catalogue.
    """

    film: int
    language: str
    text: str


def descriptions(films: Sequence[Film], path: Path) -> list[Description]:
    """The hand-written set.

    Raises:
        UserError: If a film is not in the catalogue.
    """
    rows = {(key, film.year): row for row, film in enumerate(films) for key in title_keys(film.title)}
    found = []
    for told in tomllib.loads(path.read_text(encoding="utf-8"))["descriptions"]:
        row = rows.get((title_key(told["film"]), told["year"]))
        if row is None:
            raise UserError(f"{path.name}: {told['film']} ({told['year']}) is not in the catalogue")
        found.append(Description(row, told["language"], told["text"]))
    return found


def proxies(films: Sequence[Film], count: int = PROXIES, seed: int = 0) -> tuple[list[str], list[Description]]:
    """Texts of all films, from some of which a sentence of story is taken out; and these sentences as questions."""
    texts = [film.text for film in films]
    able = [row for row, film in enumerate(films) if len(sentences(story(film))) > 1]
    asked = []
    for row in sorted(np.random.default_rng(seed).permutation(able)[:count].tolist()):
        taken = sentences(story(films[row]))[-1]
        texts[row] = texts[row].replace(taken, " ", 1)
        asked.append(Description(row, "en", taken))
    return texts, asked


def scores_of(
    vectors: TextVectors, queries: Float[np.ndarray, "q d"], weights: SearchWeights
) -> Float[np.ndarray, "q n"]:
    """Every film's score for every query."""
    ready = searched(vectors, weights)
    return np.stack([ready.score(query) for query in queries])


def chosen_weights(films: Sequence[Film], known: KnownVectors) -> SearchWeights:
    """The weights that are best on the proxies; of equal ones the first."""
    texts, asked = proxies(films)
    vectors, queries = text_vectors(texts, known), known.encoder.encode([told.text for told in asked], "query")
    return max(WEIGHTS, key=lambda weights: mean_reciprocal(scores_of(vectors, queries, weights), asked))


def mean_reciprocal(scores: Float[np.ndarray, "q n"], asked: Sequence[Description]) -> float:
    """Mean of 1 / place of the film: finer than the share that is found, for choices."""
    return float(np.mean([1 / place_of(row, told.film) for row, told in zip(scores, asked, strict=True)]))


def by_words(films: Sequence[Film], asked: Sequence[Description]) -> Float[np.ndarray, "q n"]:
    """TF-IDF of words: the baseline."""
    model = TfidfVectorizer(sublinear_tf=True, stop_words="english")
    texts = model.fit_transform([film.text for film in films])
    return np.asarray((model.transform([told.text for told in asked]) @ texts.T).todense())


def scaled_rows(scores: Float[np.ndarray, "q n"]) -> Float[np.ndarray, "q n"]:
    """Each query's scores with mean 0 and deviation 1."""
    spread: Float[np.ndarray, "q n"] = (scores - scores.mean(1, keepdims=True)) / (scores.std(1, keepdims=True) + 1e-9)
    return spread


def compare(arm: str, films: Sequence[Film], encoders: Mapping[str, Encoder]) -> Iterator[Item]:
    """A line a description: whether its film is among the first ten, and 1 / place; what came first is kept.

    Args:
        arm: "words", the name of an encoder, or "both".
    """
    asked = descriptions(films, FILE)
    scores, chosen = _scores(arm, films, encoders, asked)
    for row, told in zip(scores, asked, strict=True):
        place = place_of(row, told.film)
        numbers = {"found": float(place <= 10), "reciprocal": 1 / place}
        numbers |= {f"found_{told.language}": numbers["found"]}
        first = films[int(np.argmax(row))].title
        yield numbers, {"film": films[told.film].title, "place": place, "first": first, "text": told.text, **chosen}


def _scores(
    arm: str, films: Sequence[Film], encoders: Mapping[str, Encoder], asked: Sequence[Description]
) -> tuple[np.ndarray, dict[str, str]]:
    if arm == "words":
        return by_words(films, asked), {}
    names = list(encoders) if arm == "both" else [arm]
    scores, told = {}, {}
    for name in names:
        known = KnownVectors(encoders[name])
        weights = chosen_weights(films, known)
        vectors = text_vectors([film.text for film in films], known)
        queries = encoders[name].encode([each.text for each in asked], "query")
        scores[name] = scaled_rows(scores_of(vectors, queries, weights))
        told[name] = f"{weights.whole:g}/{weights.pooled:g}/{weights.best:g}"
    if len(names) == 1:
        return scores[arm], told
    share = _share(films, encoders)
    first, second = names
    return share * scores[first] + (1 - share) * scores[second], {**told, "share": f"{share:g}"}


def _share(films: Sequence[Film], encoders: Mapping[str, Encoder]) -> float:
    """Weight of the first encoder, chosen on the proxies."""
    texts, asked = proxies(films)
    found = []
    for encoder in encoders.values():
        known = KnownVectors(encoder)
        queries = encoder.encode([told.text for told in asked], "query")
        found.append(scaled_rows(scores_of(text_vectors(texts, known), queries, chosen_weights(films, known))))
    return max(SHARES, key=lambda share: mean_reciprocal(share * found[0] + (1 - share) * found[1], asked))
