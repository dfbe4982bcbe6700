"""The service as its settings say: films and ratings, encoder, learned weights."""

from pathlib import Path

from projects.movie_recs.data import dslabs
from projects.movie_recs.data.catalogue import load
from projects.movie_recs.embeddings import encoder
from projects.movie_recs.recommend.engine import Parts
from projects.movie_recs.server.service import Movies
from projects.movie_recs.server.settings import Settings
from shared.errors import UserError
from shared.report import read_csv

PARTS = Path(__file__).parents[1] / "results" / "parts.csv"


def load_movies(settings: Settings) -> Movies:
    """The service as the settings say.

    Raises:
        UserError: If films, ratings or model are not here.
    """
    begin = None
    if settings.dataset != "none":
        every = load(dslabs.fetched_or_smaller() if settings.dataset == "dslabs" else "ml-100k")
        begin = every.restricted(every.with_text)
    return Movies(settings, encoder.load(settings.model), begin, learned_parts())


def learned_parts(table: Path = PARTS) -> Parts:
    """What ratings, texts and popularity weigh, as the study learned it on validation; set by hand without its table.

    Raises:
        UserError: If the table is there and has no such row.
    """
    if not table.exists():
        return Parts()
    rows = [row for row in read_csv(table) if row.get("arm") == "learned"]
    try:
        return Parts(**{name: float(rows[0][name]) for name in ("ratings", "text", "popular")})
    except (IndexError, KeyError, ValueError):
        raise UserError(f"{table} says no weights of a list: make results-movie_recs writes it anew") from None
