"""Models and corpora that work offline: where they are, how they are read, and how they are split.

`load_encoder` and `load_causal_lm` give a model and its tokenizer, `load_dataset` and the six functions in NAMES give
splits. Importing does no work: the libraries behind them are imported when a function is called.
"""

from shared.assets.corpora import film_reviews, movie_reviews, product_reviews, trec
from shared.assets.film_pages import film_articles
from shared.assets.loading import NAMES, load_dataset
from shared.assets.models import load_causal_lm, load_encoder, resolve_model
from shared.assets.news_articles import news
from shared.assets.packages import package_file

__all__ = [
    "NAMES",
    "film_articles",
    "film_reviews",
    "load_causal_lm",
    "load_dataset",
    "load_encoder",
    "movie_reviews",
    "news",
    "package_file",
    "product_reviews",
    "resolve_model",
    "trec",
]
