"""Films with a text: the collaborative scores, the text's, and both together."""

from collections.abc import Iterator

import numpy as np

from projects.movie_recs.analysis.protocol import Judged, best_of, items, sides
from projects.movie_recs.analysis.warm import NEIGHBOURS, PENALTIES, popular
from projects.movie_recs.data.catalogue import Catalogue
from projects.movie_recs.data.ratings import by_time
from projects.movie_recs.embeddings import vectors
from projects.movie_recs.embeddings.vectors import TextVectors, centring, whitening
from projects.movie_recs.recommend.blend import blended, learned_weights, standardised
from projects.movie_recs.recommend.cold import nearest
from projects.movie_recs.recommend.collaborative import Scores, ease, neighbours
from shared.study import Item


def content(catalogue: Catalogue, texts: TextVectors) -> dict[str, np.ndarray]:
    """Features of length 1 of each film: its text in three forms, its genres, its people."""
    kinds, _ = vectors.genres(catalogue.films)
    return {
        "text raw": texts.pooled,
        "text": centring(texts.pooled)(texts.pooled),
        "text whitened": whitening(texts.pooled)(texts.pooled),
        "genres": centring(kinds)(kinds),
        "people": vectors.unit(vectors.people(catalogue.films)),
    }


def parts(side: Judged, features: dict[str, np.ndarray], penalty: float, kept: tuple[int, float]) -> dict[str, Scores]:
    """Scores of every part for every user, not yet on one scale."""
    likes = side.known.likes()
    found = {
        "ease": ease(likes, penalty).score(likes),
        "neighbours": neighbours(likes, *kept).score(likes),
        "popular": popular(side.known, None),
    }
    return found | {name: nearest(likes, told, told) for name, told in features.items()}


def compare(catalogue: Catalogue, texts: TextVectors) -> Iterator[Item]:
    """nDCG@10 of each part and of two blends (without and with content) for each user of the test."""
    validation, test = sides(by_time(catalogue.ratings))
    likes = validation.known.likes()
    penalty = best_of(PENALTIES, lambda told: validation.quality(ease(likes, told).score(likes)))
    kept = best_of(NEIGHBOURS, lambda told: validation.quality(neighbours(likes, *told).score(likes)))
    features = content(catalogue, texts)
    known = {
        name: standardised(each, validation.known.matrix())
        for name, each in parts(validation, features, penalty, kept).items()
    }
    shown = {
        name: standardised(each, test.known.matrix()) for name, each in parts(test, features, penalty, kept).items()
    }
    ours = {name: known[name] for name in known if name != "text raw"}
    alone = {name: known[name] for name in ("ease", "neighbours", "popular")}
    weights = {"blend": learned_weights(ours, validation.quality)}
    weights["collaborative"] = learned_weights(alone, validation.quality)
    measures = {name: test.ndcg(scores) for name, scores in shown.items()}
    measures |= {name: test.ndcg(blended(shown, told)) for name, told in weights.items()}
    best = max(known, key=lambda name: validation.quality(known[name]))
    measures["best part"] = measures[best]
    return items(measures, {"weights": weights, "penalty": penalty, "neighbours": kept, "best": best})
