"""`make results-ws_chat`: every measure at full size, and what is shown of them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects.ws_chat.config import FULL, RESULTS, Config
from projects.ws_chat.measure import churn, context, cost, cuts, fairness, first, idle, moderation, stops
from shared import study
from shared.errors import command
from shared.files import refuse_unwritable
from shared.measured import write_measured
from shared.study import Table, bootstrap, table

Rows = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Measure everything behind the README's tables."""

    only: tuple[str, ...] = ()
    """Measures to take; by default all."""
    out: Path = RESULTS
    """Where the CSV files go."""


STOPS = table(
    "stops",
    ("answers stopped", "respuestas detenidas", "{stops}"),
    ("tokens computed after Stop, mean", "tokens calculados después de Parar, media", "{tokens_after_mean:.2f}"),
    ("most", "máximo", "{tokens_after_most}"),
    ("ended within, p50", "terminada en, p50", "{ended_p50_ms:.0f} ms"),
    ("p99", "p99", "{ended_p99_ms:.0f} ms"),
)
CUTS = table(
    "cuts",
    ("replicas", "réplicas", "{replicas}"),
    ("lines cut", "líneas cortadas", "{cuts}"),
    ("pages", "páginas", "{pages}"),
    ("answers", "respuestas", "{answers}"),
    ("events lost, doubled or out of order", "eventos perdidos, dobles o desordenados", "{faults}"),
    ("transcripts equal to the stored ones", "transcripciones iguales a lo guardado", "{transcripts_equal} / {pages}"),
)
COST = table(
    "cost",
    ("answers at once", "respuestas a la vez", "{streams}"),
    ("tokens", "tokens", "{tokens}"),
    ("added to a token, p50", "añadido a un token, p50", "{late_p50_ms:.2f} ms"),
    ("p99", "p99", "{late_p99_ms:.1f} ms"),
    ("most", "máximo", "{late_most_ms:.0f} ms"),
    ("added to the first token, p50", "añadido al primer token, p50", "{first_p50_ms:.1f} ms"),
    ("processor time a token", "procesador por token", "{processor_ms:.2f} ms"),
)
FIRST = table(
    "first",
    ("questions", "preguntas", "{questions}"),
    ("first token, the engine alone, p50", "primer token, el motor solo, p50", "{own_p50_ms:.0f} ms"),
    ("over the socket, p50", "por el socket, p50", "{served_p50_ms:.0f} ms"),
    ("added, mean", "añadido, media", "{added_mean_ms:.1f} ms ({low:.1f} to {high:.1f})"),
    ("p99", "p99", "{added_p99_ms:.0f} ms"),
)
IDLE = table(
    "idle",
    ("idle sockets", "conexiones inactivas", "{sockets}"),
    ("memory of one", "memoria de una", "{kib_a_socket:.1f} KiB"),
)
CHURN = table(
    "churn",
    ("visits", "visitas", "{visits}"),
    ("in", "en", "{seconds:.0f} s"),
    ("memory, second tenth of the time", "memoria, segundo décimo del tiempo", "{begin_mb:.1f} MB"),
    ("last tenth", "último décimo", "{end_mb:.1f} MB"),
    ("growth a minute", "crecimiento por minuto", "{kib_a_minute:.0f} KiB ({low:.0f} to {high:.0f})"),
)
FAIRNESS = table(
    "fairness",
    ("places in the queue for each of 8 users", "puestos en la cola para cada uno de 8 usuarios", "{places}"),
    ("messages", "mensajes", "{asked}"),
    ("answered", "respondidos", "{answered}"),
    ("refused, saying when to come back", "rechazados, diciendo cuándo volver", "{refused_saying_when} / {refused}"),
    ("answers for who asks ten times as often", "respuestas para quien pide diez veces más", "{of_the_greedy:.0%}"),
    ("Jain's index, mean", "índice de Jain, media", "{jain:.3f}"),
    ("least of the seeds", "el menor de las semillas", "{jain_least:.3f}"),
)
CONTEXT = table(
    "context",
    ("the model reads", "el modelo lee", "{arm}"),
    ("questions", "preguntas", "{questions}"),
    ("right second answers", "segundas respuestas acertadas", "{right:.0%} ({low:.0%} to {high:.0%})"),
    spanish={"with history": "con historial", "without": "sin historial"},
)
MODERATION = table(
    "moderation",
    ("sentences of", "frases de", "{corpus}"),
    ("number", "número", "{sentences}"),
    ("refused", "rechazadas", "{refused}"),
    ("of these, without the phrase itself", "de ellas, sin la frase misma", "{refused_without_the_phrase}"),
    spanish={"film dialogue": "diálogo de películas", "text messages": "mensajes de texto"},
)
TABLES = (STOPS, CUTS, COST, FIRST, IDLE, CHURN, FAIRNESS, CONTEXT, MODERATION)
BENCH = table(
    "bench",
    ("server", "servidor", "{server}"),
    ("memory of an idle connection", "memoria de una conexión inactiva", "{kib_a_socket:.0f} KiB"),
    ("added to a token, p50", "añadido a un token, p50", "{late_p50_ms:.2f} ms"),
    ("p99", "p99", "{late_p99_ms:.1f} ms"),
    ("tokens computed after Stop", "tokens calculados después de Parar", "{tokens_after_stop}"),
)


def measures(size: Config) -> dict[str, Callable[[], Rows]]:
    """What is measured, by the name of its table."""
    return {
        "stops": lambda: stops.rows(size.stops, seed=size.seed),
        "cuts": lambda: cuts.rows(size.cuts, pages=size.pages, seed=size.seed),
        "cost": lambda: cost.rows(size.streams, tokens=size.tokens),
        "first": lambda: first.rows(size.rounds),
        "idle": lambda: idle.rows(size.sockets),
        "churn": lambda: churn.rows(size.churn),
        "fairness": lambda: fairness.rows(size.load, seeds=tuple(range(size.seed, size.seed + size.seeds))),
        "moderation": moderation.rows,
    }


def context_rows(answers: Rows) -> Rows:
    """A row an arm: its share of right answers, with an interval over the questions."""
    found = []
    for arm in dict.fromkeys(row["arm"] for row in answers):
        right = [float(row["right"]) for row in answers if row["arm"] == arm]
        low, high = bootstrap(right)
        found.append({"arm": arm, "questions": len(right), "right": sum(right) / len(right), "low": low, "high": high})
    return found


def views(out: Path) -> dict[str, tuple[Table, Rows]]:
    """Block of the README → the table that it shows, and its rows; only of what is there to show."""
    return study.written(out, *TABLES, BENCH)


def main(config: StudyConfig) -> None:
    """Take every measure, write the tables, and show them."""
    refuse_unwritable(config.out)
    for name, measure in measures(FULL).items():
        if not config.only or name in config.only:
            begun = time.monotonic()
            write_measured(config.out / f"{name}.csv", measure(), "ws_chat", FULL)
            print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)
    if not config.only or "context" in config.only:
        answers = context.answers()
        write_measured(config.out / "answers.csv", answers, "ws_chat", FULL)
        rows = context_rows(answers)
        write_measured(config.out / "context.csv", rows, "ws_chat", FULL, made_from=("answers.csv",))
    study.finish(config.out, views(config.out))
    for each, rows in views(config.out).values():
        each.print(rows)


if __name__ == "__main__":
    command(main, StudyConfig)
