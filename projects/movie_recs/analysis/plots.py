"""Figures of the README, drawn from results/."""

from dataclasses import dataclass
from pathlib import Path

from shared.errors import command
from shared.plotting import COLOURS, MARKERS, figure
from shared.report import read_csv

WORDS = Path(__file__).with_name("figures.es.toml")


@dataclass(frozen=True, kw_only=True)
class PlotConfig:
    """Draw the figures of the results."""

    results: Path = Path("projects/movie_recs/results")


def main(config: PlotConfig) -> None:
    """Draw them again from the tables."""
    new_users(config.results)
    cold_films(config.results)
    trade_off(config.results)


def new_users(results: Path) -> None:
    """Quality of lists over the number of questions."""
    rows = read_csv(results / "newcomers.csv")
    with figure(
        results / "newcomers.png",
        title="New users: what questions are worth",
        xlabel="films asked about",
        ylabel="nDCG@10",
        words=WORDS,
    ) as axes:
        for number, (name, label) in enumerate(
            (("informative", "informative"), ("popular", "most popular"), ("random", "at random"))
        ):
            x = [row["questions"] for row in rows]
            axes.plot(x, [row[name] for row in rows], marker=MARKERS[number], color=COLOURS[number], label=label)
            low, high = ([row[f"{name}_{end}"] for row in rows] for end in ("low", "high"))
            axes.fill_between(x, low, high, color=COLOURS[number], alpha=0.12, linewidth=0)
        axes.legend(loc="upper left")


def cold_films(results: Path) -> None:
    """Every arm on films without ratings, best below the oracle."""
    rows = sorted(read_csv(results / "cold.csv"), key=lambda row: row["ndcg"])
    with figure(
        results / "cold.png",
        title="Films that nobody has rated: what content knows",
        xlabel="nDCG@10 on cold films",
        ylabel="",
        size=(6.8, 5.2),
        words=WORDS,
    ) as axes:
        places = range(len(rows))
        errors = [[row["ndcg"] - row["ndcg_low"] for row in rows], [row["ndcg_high"] - row["ndcg"] for row in rows]]
        colours = [COLOURS[2] if row["arm"].startswith("head") else COLOURS[0] for row in rows]
        colours = [
            COLOURS[6] if row["arm"] in ("random", "popularity (oracle)") else c
            for row, c in zip(rows, colours, strict=True)
        ]
        axes.barh(places, [row["ndcg"] for row in rows], xerr=errors, color=colours, height=0.7, ecolor="#555555")
        axes.set_yticks(list(places), [row["arm"] for row in rows])
        axes.grid(axis="y", visible=False)


def trade_off(results: Path) -> None:
    """What diversity costs, by λ."""
    rows = [row for row in read_csv(results / "lists.csv") if row["part"] == "test"]
    with figure(
        results / "lists.png",
        title="More varied lists, and what they cost",
        xlabel="diversity of a list",
        ylabel="nDCG@10",
        words=WORDS,
    ) as axes:
        axes.plot([row["diversity"] for row in rows], [row["ndcg"] for row in rows], marker="o", color=COLOURS[0])
        for row in rows:
            below = row["trade"] == 1  # where the line rises to the right
            axes.annotate(
                f"λ = {row['trade']:g}",
                (row["diversity"], row["ndcg"]),
                xytext=(6, -14 if below else 6),
                textcoords="offset points",
            )


if __name__ == "__main__":
    command(main, PlotConfig)
