"""Films that nobody has rated: a fifth of the catalogue held out whole, in draws that every arm shares."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix

from projects.movie_recs.data.catalogue import Catalogue
from projects.movie_recs.embeddings import vectors
from projects.movie_recs.embeddings.vectors import centring, unit, whitening
from projects.movie_recs.evaluate import ndcg, with_wishes
from projects.movie_recs.recommend.blend import standardised
from projects.movie_recs.recommend.cold import fit_head, joined_features, nearest, years
from projects.movie_recs.recommend.collaborative import ease, popularity
from shared.study import Item

DRAWS = 20
SHARE = 0.2
EASE_PENALTY = 100.0
RIDGES = (2.0, 5.0, 20.0)
TEXT_WEIGHTS = (0.0, 0.5, 1.0, 2.0)
FIELD_WEIGHTS = {"genres": 1.0, "years": 1.0, "people": 1.0}
MIXES = (0.0, 0.25, 0.5, 1.0, 2.0)
"""Weight of the text beside the genres where nothing is trained."""


@dataclass(frozen=True)
class Content:
    """Everything that is known of films without a rating.

    Attributes:
        texts: Vectors by the form of the text: "whole", "pooled", "masked" (names taken out), "story" (plot alone).
    """

    catalogue: Catalogue
    texts: Mapping[str, Float[np.ndarray, "n d"]]

    @cached_property
    def fields(self) -> dict[str, np.ndarray]:
        """Features by name, before they are centred."""
        films = self.catalogue.films
        kinds, _ = vectors.genres(films)
        length = np.log1p([[len(film.text)] for film in films])
        told = {
            "genres": kinds,
            "people": vectors.people(films),
            "years": years(films),
            "length": np.concatenate([(length - length.mean()) / length.std(), np.ones_like(length)], axis=1),
        }
        return told | dict(self.texts)


@dataclass(frozen=True)
class Draw:
    """Films without ratings, and the ratings of the others.

    Attributes:
        warm: Columns of the films that are learned from; `cold` of those that are ranked.
        likes: Those of the warm films: (u, w).
        wanted: Likes of the cold films: (u, c).
    """

    warm: np.ndarray
    cold: np.ndarray
    likes: csr_matrix
    wanted: csr_matrix

    @cached_property
    def warm_scores(self) -> np.ndarray:
        """EASE's scores of the warm films: what a head learns to predict."""
        return ease(self.likes, EASE_PENALTY).score(self.likes)

    def quality(self, scores: Float[np.ndarray, "u c"]) -> float:
        """Mean nDCG@10 over the users with a like on either side, of the cold films alone."""
        who = with_wishes(self.wanted, self.likes)
        return float(ndcg(scores[who], self.wanted[who], csr_matrix(self.wanted.shape)[who]).mean())


def drawn(likes: csr_matrix, seed: int, share: float = SHARE) -> Draw:
    """One draw of cold films."""
    films = likes.shape[1]
    cold = np.sort(np.random.default_rng(seed).permutation(films)[: int(films * share)])
    warm = np.setdiff1d(np.arange(films), cold)
    return Draw(warm, cold, likes[:, warm].tocsr(), likes[:, cold].tocsr())


def inner(draw: Draw, seed: int) -> Draw:
    """A draw among the warm films of a draw: what choices are made on. Its columns are places among the warm ones."""
    return drawn(draw.likes, seed)


def untrained(draw: Draw, features: Float[np.ndarray, "n d"]) -> np.ndarray:
    """Nearness of the cold films to each user's liked ones; features centred on the warm films alone."""
    ready = centring(features[draw.warm])(features)
    return nearest(draw.likes, ready[draw.warm], ready[draw.cold])


def mixed(draw: Draw, content: Content, text: str, weight: float) -> np.ndarray:
    """Genres and text, each on the scale of its user."""
    kinds = standardised(untrained(draw, content.fields["genres"]))
    return kinds + weight * standardised(untrained(draw, content.fields[text]))


def headed(draw: Draw, content: Content, fields: Mapping[str, float], ridge: float) -> np.ndarray:
    """The trained head on these fields; texts are whitened on the warm films alone."""
    ready = {
        name: whitening(values[draw.warm])(values) if name in content.texts else values
        for name, values in content.fields.items()
        if fields.get(name)
    }
    features = joined_features(ready, fields)
    return fit_head(features[draw.warm], ridge).score(draw.warm_scores, features[draw.cold])


def within(content: Content, draw: Draw) -> Content:
    """What is known of the warm films of a draw."""
    rows = {name: values[draw.warm] for name, values in content.texts.items()}
    return Content(content.catalogue.restricted(draw.warm.tolist()), rows)


ARMS = (
    "random",
    "popularity (oracle)",
    "genres",
    "people",
    "text raw",
    "text",
    "text, first part",
    "names masked",
    "plot alone",
    "text whitened",
    "genres and text",
    "head: fields",
    "head: fields and text",
    "head: and length",
    "head: text alone",
    "head: plot alone",
    "text (E5)",
    "head: fields and E5",
)
HEADS = {
    "head: fields": (dict(FIELD_WEIGHTS), ""),
    "head: fields and text": (dict(FIELD_WEIGHTS), "pooled"),
    "head: and length": ({**FIELD_WEIGHTS, "length": 0.3}, "pooled"),
    "head: text alone": ({}, "pooled"),
    "head: plot alone": ({}, "story"),
    "head: fields and E5": (dict(FIELD_WEIGHTS), "e5"),
}


def score(arm: str, draw: Draw, content: Content, seed: int) -> np.ndarray:
    """An arm's scores of the cold films; what it has to choose is chosen on films held out among the warm ones."""
    fields = content.fields
    if arm == "random":
        return np.random.default_rng(seed).random(draw.wanted.shape)
    if arm == "popularity (oracle)":
        return np.broadcast_to(popularity(draw.wanted), draw.wanted.shape)
    if arm == "text raw":
        raw = unit(fields["pooled"])
        return nearest(draw.likes, raw[draw.warm], raw[draw.cold])
    if arm == "text whitened":
        ready = whitening(fields["pooled"][draw.warm])(fields["pooled"])
        return nearest(draw.likes, ready[draw.warm], ready[draw.cold])
    plain = {
        "text": "pooled",
        "text, first part": "whole",
        "names masked": "masked",
        "plot alone": "story",
        "text (E5)": "e5",
    }
    if arm in (*plain, "genres", "people"):
        return untrained(draw, fields[plain.get(arm, arm)])
    small, known = inner(draw, seed), within(content, draw)
    if arm == "genres and text":
        weight = max(MIXES, key=lambda told: small.quality(mixed(small, known, "pooled", told)))
        return mixed(draw, content, "pooled", weight)
    own, text = HEADS[arm]
    weights = TEXT_WEIGHTS if text and own else ((1.0,) if text else (0.0,))
    tried = [({**own, text: weight} if text else own, ridge) for weight in weights for ridge in RIDGES]
    best = max(tried, key=lambda told: small.quality(headed(small, known, *told)))
    return headed(draw, content, *best)


def compare(arm: str, content: Content, draws: int = DRAWS) -> Iterator[Item]:
    """A line a draw: mean nDCG@10 on the cold films, whose draw is the same for every arm."""
    likes = content.catalogue.ratings.likes()
    for seed in range(draws):
        draw = drawn(likes, seed)
        yield {"ndcg": draw.quality(score(arm, draw, content, seed))}, {"cold": len(draw.cold)}
