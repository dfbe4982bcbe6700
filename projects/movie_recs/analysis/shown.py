"""What each table says, once for CSV, README and notebook."""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from projects.movie_recs.analysis import newcomers
from shared.fingerprint.citations import pooled
from shared.study import Column, Done, Group, Table, bootstrap, plain, table, written

ARM = plain("arm", lambda group: group[0].config.arm, head="arm", es="brazo")
DATA = plain("dataset", lambda group: group[0].config.dataset, head="ratings", es="valoraciones")
kept = partial(table, keep_logs=True)
"""A table whose logs stand beside it, so that its numbers verify from the repository alone."""
SPANISH = {
    "last five likes": "últimos cinco me gusta",
    "one date": "una fecha",
    "by user, in time": "por usuario, en el tiempo",
    "popularity (oracle)": "popularidad (oráculo)",
    "popular": "popular",
    "recent": "popular reciente",
    "neighbours": "vecinos",
    "ease": "EASE",
    "svd": "SVD",
    "random": "al azar",
    "genres and text": "géneros y texto",
    "genres": "géneros",
    "people": "personas",
    "text whitened": "texto blanqueado",
    "text raw": "texto sin centrar",
    "text, first part": "texto, primera parte",
    "text": "texto",
    "names masked": "sin nombres",
    "plot alone": "sólo la trama",
    "head: fields and text": "cabeza: campos y texto",
    "head: fields": "cabeza: campos",
    "head: and length": "cabeza: y longitud",
    "head: text alone": "cabeza: sólo texto",
    "head: plot alone": "cabeza: sólo trama",
    "head: fields and E5": "cabeza: campos y E5",
    "text (E5)": "texto (E5)",
    "best part": "la mejor parte",
    "collaborative": "colaborativa",
    "blend": "mezcla",
    "likes alone": "sólo me gusta",
    "held back": "retenida",
    "signed EASE": "EASE con signo",
    "signed and held back": "con signo y retenida",
    "naive": "ingenua",
    "clipped": "recortada",
    "words": "palabras (TF-IDF)",
    "minilm": "MiniLM",
    "both": "ambos",
    "e5": "E5",
}


def mean(name: str, metric: str = "", **shown: Any) -> Column:
    """Mean over the items of a row's first cell, cited; the second one is what it is compared with."""
    return Column((name,), lambda group: [pooled([group[0].mean(metric or name)], "mean", digits=6)], **shown)


def with_interval(name: str, metric: str = "", digits: int = 3, **shown: Any) -> tuple[Column, Column]:
    """A mean over items that is cited, and its bootstrap interval over them, shown together."""
    form = f"{{{name}:.{digits}f}} [{{{name}_low:.{digits}f}}, {{{name}_high:.{digits}f}}]"
    return mean(name, metric, show=form, **shown), _bounds(name, metric or name)


def _bounds(name: str, metric: str) -> Column:
    """The bootstrap interval of a metric over the items of a row's first cell."""
    return Column(
        (f"{name}_low", f"{name}_high"),
        lambda group: [round(bound, 4) for bound in bootstrap(group[0].values(metric))],
    )


def gap(name: str, metric: str, **shown: Any) -> Column:
    """Mean paired difference to the second cell of a row, over the items that both have, with its interval."""

    def found(group: Group) -> list[Any]:
        ours, theirs = (each.values(metric) for each in group)
        return _gap(ours, theirs)

    form = f"{{{name}:+.3f}} [{{{name}_low:+.3f}}, {{{name}_high:+.3f}}]"
    return Column((name, f"{name}_low", f"{name}_high"), found, show=form, **shown)


def _gap(ours: Sequence[float], theirs: Sequence[float]) -> list[Any]:
    apart = [a - b for a, b in zip(ours, theirs, strict=True)]
    return [round(value, 4) for value in (statistics.fmean(apart), *bootstrap(apart))]


def picked(name: str, pattern: str, **shown: Any) -> Column:
    """A mean of the metric whose name the row's arm completes, and its interval."""

    def found(group: Group) -> list[Any]:
        metric = pattern.format(arm=group[0].config.arm)
        values = group[0].values(metric)
        return [pooled([group[0].mean(metric)], "mean", digits=6), *(round(each, 4) for each in bootstrap(values))]

    form = f"{{{name}:.3f}} [{{{name}_low:.3f}}, {{{name}_high:.3f}}]"
    return Column((name, f"{name}_low", f"{name}_high"), found, show=form, **shown)


def picked_gap(name: str, pattern: str, to: str, **shown: Any) -> Column:
    """Mean paired difference between two metrics that the row's arm completes, with its interval."""

    def found(group: Group) -> list[Any]:
        arm = group[0].config.arm
        return _gap(group[0].values(pattern.format(arm=arm)), group[0].values(to.format(arm=arm)))

    form = f"{{{name}:+.3f}} [{{{name}_low:+.3f}}, {{{name}_high:+.3f}}]"
    return Column((name, f"{name}_low", f"{name}_high"), found, show=form, **shown)


def as_arms(done: Done, arms: Sequence[Any]) -> list[list[Done]]:
    """One cell as a row for each arm that its metrics are named after."""
    return [[replace(done, config=replace(done.config, arm=str(arm)))] for arm in arms]


def seen(name: str, *fields: tuple[str, str, str]) -> Table:
    """A table of measurements whose fields are shown as they are: (field, heading, its Spanish)."""
    shown = [Column((), lambda _: [], head, es, f"{{{each}}}") for each, head, es in fields]
    return table(
        name,
        *shown,
        title=name,
        spanish={
            "exact": "exacto",
            "in this process": "en este proceso",
            "one after another": "una tras otra",
            "a second": "por segundo",
            "twice the capacity": "el doble de la capacidad",
            "capacity": "capacidad",
            "neighbours": "vecinos",
        },
    )


def users(metric: str) -> Column:
    """Over how many users a row's means are."""
    return plain("users", lambda group: len(group[0].values(metric)), head="users", es="usuarios")


WARM = kept(
    "warm",
    plain("division", lambda group: group[0].config.arm, head="division", es="división"),
    DATA,
    users("ease"),
    *(
        column
        for name, head, es in (
            ("random", "random", "al azar"),
            ("popular", "popular", "popular"),
            ("recent", "recent", "reciente"),
            ("neighbours", "neighbours", "vecinos"),
            ("ease", "EASE", "EASE"),
            ("svd", "SVD", "SVD"),
        )
        for column in with_interval(name, head=head, es=es)
    ),
    mean("ease_recall", head="EASE, recall@20", es="EASE, exhaustividad@20", show="{ease_recall:.3f}"),
    title="nDCG@10 of the whole catalogue",
    spanish=SPANISH,
)
BLEND_ARMS = (
    "popular",
    "genres",
    "people",
    "text raw",
    "text",
    "text whitened",
    "neighbours",
    "ease",
    "collaborative",
    "blend",
)
BLENDS = kept(
    "blends",
    ARM,
    users("ease"),
    picked("ndcg", "{arm}", head="nDCG@10"),
    picked_gap("gap", "{arm}", "best part", head="to the best part", es="frente a la mejor parte"),
    title="films with a text: parts and blends",
    spanish=SPANISH,
)
PARTS = kept(
    "parts",
    ARM,
    users("learned"),
    *(
        Column(
            (name,),
            partial(lambda name, group: [group[0].mean(f"{group[0].config.arm}: {name}")], name),
            head,
            es,
            f"{{{name}:.2f}}",
        )
        for name, head, es in (
            ("ratings", "ratings", "valoraciones"),
            ("text", "text", "texto"),
            ("popular", "popularity", "popularidad"),
        )
    ),
    picked("ndcg", "{arm}", head="nDCG@10"),
    picked_gap("gap", "{arm}", "set by hand", head="to set by hand", es="frente a puestos a mano"),
    title="what a list's parts weigh",
    spanish={"learned": "aprendidos", "set by hand": "puestos a mano", "ratings alone": "sólo valoraciones"},
)
COLD = kept(
    "cold",
    ARM,
    plain("draws", lambda group: len(group[0].values("ndcg")), head="draws", es="sorteos"),
    *with_interval("ndcg", head="nDCG@10"),
    gap("gap", "ndcg", head="to genres and text", es="frente a géneros y texto"),
    title="films without ratings",
    spanish=SPANISH,
)
NEWCOMERS = kept(
    "newcomers",
    plain("questions", lambda group: int(group[0].config.arm), head="questions", es="preguntas"),
    picked("informative", "informative_{arm}", head="informative", es="informativas"),
    picked("popular", "popular_{arm}", head="most popular", es="más populares"),
    picked("random", "random_{arm}", head="at random", es="al azar"),
    picked_gap(
        "gap", "informative_{arm}", "popular_{arm}", head="informative − popular", es="informativas − populares"
    ),
    picked("answered", "informative_{arm}_answered", head="of these seen", es="vistas de ellas"),
    title="new users: nDCG@10 after so many questions",
)
DISLIKES = kept(
    "dislikes",
    ARM,
    DATA,
    users("ndcg"),
    *with_interval("ndcg", head="nDCG@10"),
    gap("ndcg_gap", "ndcg", head="to likes alone", es="frente a sólo me gusta"),
    *with_interval("auc", head="AUC"),
    gap("auc_gap", "auc", head="AUC, to likes alone", es="AUC, frente a sólo me gusta"),
    mean("disliked_shown", head="disliked of ten shown", es="no gustadas entre diez", show="{disliked_shown:.3f}"),
    title="what dislikes are good for",
    spanish=SPANISH,
)
LISTS = kept(
    "lists",
    plain("trade", lambda group: float(group[0].config.arm), head="λ"),
    plain("part", lambda group: ("test", "validation")[group[0].config.size], head="part", es="parte"),
    *with_interval("ndcg", head="nDCG@10"),
    gap("ndcg_gap", "ndcg", head="to λ = 1", es="frente a λ = 1"),
    *with_interval("diversity", head="diversity", es="diversidad"),
    mean("diversity_centred", head="centred", es="centrada", show="{diversity_centred:.3f}"),
    mean("diversity_genres", head="of genres", es="de géneros", show="{diversity_genres:.3f}"),
    mean("novelty", head="novelty, bits", es="novedad, bits", show="{novelty:.2f}"),
    plain(
        "coverage",
        lambda group: round(group[0].items[0]["coverage"], 4),
        head="coverage",
        es="cobertura",
        show="{coverage:.2f}",
    ),
    title="lists by MMR",
    spanish={"validation": "validación", "test": "prueba"},
)
SEARCH = kept(
    "search",
    ARM,
    *with_interval("found", digits=2, head="among ten", es="entre diez"),
    mean("found_en", head="English", es="inglés", show="{found_en:.2f}"),
    mean("found_es", head="Spanish", es="español", show="{found_es:.2f}"),
    mean("reciprocal", head="1 / place", es="1 / lugar", show="{reciprocal:.3f}"),
    title="sixty descriptions",
    spanish=SPANISH,
)
ERRORS = table(
    "errors",
    Column((), lambda _: [], "description", "descripción", "{text}"),
    Column((), lambda _: [], "film", "película", "{film}"),
    Column((), lambda _: [], "place", "lugar", "{place}"),
    Column((), lambda _: [], "first", "primera", "{first}"),
    title="the five descriptions whose film stands farthest down",
)
POLICIES = kept(
    "policies",
    ARM,
    mean("truth", head="truth", es="verdad", show="{truth:.3f}"),
    *with_interval("estimate", head="mean estimate", es="estimación media"),
    plain(
        "rmse",
        lambda group: round(statistics.fmean(group[0].values("squared")) ** 0.5, 4),
        head="RMSE",
        show="{rmse:.4f}",
    ),
    mean("covered", head="truth inside 95 %", es="verdad dentro del 95 %", show="{covered:.2f}"),
    mean("effective", head="lines it stands on", es="líneas en que se apoya", show="{effective:.0f}"),
    title="a policy judged from another one's log",
    spanish=SPANISH,
)


def _counted(metric: str, group: Group) -> list[Any]:
    return [group[0].mean(metric)] if group[0].values(metric) else [0]


OUTCOMES = ("joined", "mispaired", "no_ratings", "another_year", "several_films", "text_taken", "no_year")
JOINED = kept(
    "joined",
    DATA,
    *(
        Column((f"{kind}_{outcome}",), partial(_counted, f"{kind}_{outcome}"))
        for kind in ("introduction", "plot")
        for outcome in OUTCOMES
    ),
    mean("films", head="films", es="películas", show="{films:.0f}"),
    mean("with_text", head="with a text", es="con texto", show="{with_text:.0f}"),
    ("introductions + plots joined", "introducciones + tramas unidas", "{introduction_joined:.0f} + {plot_joined:.0f}"),
    ("another film's text", "texto de otra película", "{introduction_mispaired:.0f}"),
    ("another year's film", "película de otro año", "{introduction_another_year:.0f} + {plot_another_year:.0f}"),
    title="texts and ratings joined",
)
BENCH = seen(
    "bench",
    ("arm", "arm", "brazo"),
    ("step_ms", "learn and score all, ms", "aprender y puntuar todo, ms"),
    ("ours_over_arm", "ours / arm", "nuestro / brazo"),
    ("peak_mb", "peak, MB", "pico, MB"),
    ("ndcg", "nDCG@10", "nDCG@10"),
)
INDEX = seen(
    "index",
    ("index", "index", "índice"),
    ("films", "films", "películas"),
    ("ms_p50", "p50, ms", "p50, ms"),
    ("ms_p99", "p99, ms", "p99, ms"),
    ("recall", "recall of 10", "exhaustividad de 10"),
    ("build_s", "built in, s", "construido en, s"),
    ("mb", "grown by, MB", "crecido, MB"),
)
SCALE = seen(
    "scale",
    ("load", "load", "carga"),
    ("films", "films", "películas"),
    ("a_second", "lists a second", "listas por segundo"),
    ("p50_ms", "p50, ms", "p50, ms"),
    ("p99_ms", "p99, ms", "p99, ms"),
    ("kb_a_film", "KB a film", "KB por película"),
)
LOAD = seen(
    "load",
    ("load", "load", "carga"),
    ("asked_a_second", "asked a second", "pedidas por segundo"),
    ("answered_a_second", "answered a second", "contestadas por segundo"),
    ("refused", "refused", "rechazadas"),
    ("other", "other", "otras"),
    ("p50_ms", "p50, ms", "p50, ms"),
    ("p99_ms", "p99, ms", "p99, ms"),
    ("refusal_p99_ms", "a refusal's p99, ms", "p99 de un rechazo, ms"),
    ("mb_before", "MB before", "MB antes"),
    ("mb_after", "after", "después"),
)
MEASURED = (BENCH, INDEX, SCALE, LOAD)
TABLES = (*MEASURED, JOINED, WARM, BLENDS, PARTS, COLD, NEWCOMERS, DISLIKES, LISTS, SEARCH, ERRORS, POLICIES)
COUNTS = newcomers.COUNTS


def views(out: Path) -> dict[str, tuple[Table, list[dict[str, Any]]]]:
    """Every table that has been written, with its rows."""
    return written(out, *TABLES)
