"""What a run is told."""

from dataclasses import dataclass
from typing import Literal

from shared import checks


@dataclass(frozen=True, kw_only=True)
class Config:
    """Recommend films from what somebody likes."""

    dataset: Literal["dslabs", "ml-100k"] = "dslabs"
    """Ratings: dslabs (100,004 of 9,066 films, fetched once with apt-get) or ml-100k (fewer films with a text)."""
    model: str = "minilm"
    """Encoder of the texts: minilm, e5, a folder, or a hub id with HF_HUB_OFFLINE=0."""
    penalty: float = 100.0
    """λ of EASE."""
    gamma: float = 0.5
    """Weight of a predicted dislike."""
    delta: float = 0.05
    """What a star below a user's own mean, as predicted, takes from a score."""
    ridge: float = 5.0
    """λ of the head that scores films without ratings."""
    diversity: float = 0.8
    """λ of MMR: 1 is the order of relevance."""
    places: int = 10
    """Films of a list."""
    seed: int = 0
    """Seeds whatever is drawn."""

    def __post_init__(self) -> None:
        """Refuse what no list can be made with."""
        checks.positive(self, "penalty", "ridge")
        checks.at_least(self, 0, "gamma", "delta", "diversity", "seed")
        checks.at_most(self, 1, "diversity")
        checks.at_least(self, 1, "places")
        checks.at_most(self, 1_000, "places")


SMOKE = Config(places=5)
