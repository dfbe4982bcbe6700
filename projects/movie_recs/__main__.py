"""`make run-movie_recs`: what ratings, texts and both find, films that nobody rated, and a list with its reasons."""

from projects.movie_recs.analysis.first import compared, films, listed, on_cold_films
from projects.movie_recs.config import Config
from projects.movie_recs.embeddings.encoder import load
from projects.movie_recs.embeddings.vectors import KnownVectors, of_films
from shared import devices, progress
from shared.errors import command


def main(config: Config) -> dict[str, float]:
    """Recommend films from ratings and plots."""
    devices.use_all_cores()
    catalogue = films(config)
    known = KnownVectors(load(config.model))
    progress.say(f"{len(catalogue.films)} films with a text, {len(catalogue.ratings)} ratings of them")
    texts = of_films(catalogue.films, known)
    progress.say(f"{known.encoded} texts and sentences encoded; all others were known")
    warm, cold = compared(catalogue, texts, config), on_cold_films(catalogue, texts, config)
    progress.table("films with ratings", ["from", "nDCG@10"], warm)
    progress.table("films that nobody has rated, one draw", ["from", "nDCG@10"], cold)
    for line in listed(catalogue, texts, config):
        print(line)
    best = dict(warm)
    print(
        f"Where films have ratings, EASE finds {best['EASE']:.3f} and the text alone {best['text alone']:.3f};", end=" "
    )
    print(f"where they have none, content finds {cold[-1][1]:.3f} and chance {cold[0][1]:.3f}.")
    return best | {f"cold {name}": value for name, value in cold}


if __name__ == "__main__":
    command(main, Config)
