"""Every table of the results, declared: what the README shows of a row of its CSV, in English and in Spanish."""

from pathlib import Path
from typing import Any

from projects.ppo_dpo_orpo.analysis import plots
from shared import study
from shared.report import spread
from shared.study import Table, table


def span(name: str, digits: int = 2) -> study.Shown:
    """A value with the interval that stands beside it; nothing where there is none."""

    def shown(row: dict[str, Any], _: list[dict[str, Any]]) -> str:
        if row[name] == "":
            return ""
        return f"{row[name]:+.{digits}f} ({row[f'{name}_low']:+.{digits}f} to {row[f'{name}_high']:+.{digits}f})"

    return shown


def over_seeds(name: str, digits: int = 2) -> study.Shown:
    """Mean and deviation over seeds."""
    return lambda row, _: str(spread(row, name, digits))


def optional(form: str, name: str) -> study.Shown:
    """A value in a format, or nothing."""
    return lambda row, _: str(form.format(row[name])) if row[name] != "" else ""


def arm(name: str) -> study.Shown:
    """A method and what it trains, named."""
    return lambda row, _: "{}, {}".format(*(NAMED.get(word, word) for word in row[name].split()))


NAMED: dict[str, str] = {**plots.METHODS, **plots.KINDS, "start": "start"}
WHO = ("method", "método", lambda row, _: NAMED.get(row["method"], row["method"]))
KIND = ("trained", "se entrena", lambda row, _: plots.KINDS.get(row["kind"], ""))
SPANISH = {"start": "de partida", "bottleneck adapters": "adaptadores", "longer response": "la respuesta más larga"}
SPANISH |= {
    "likelier response": "la más probable para el de partida",
    "linear probe": "sonda lineal",
    "gold judge": "el otro juez",
    "sampled": "muestreada",
    "greedy": "voraz",
}
IN_BENCH = {"ours": "el nuestro", "without kept states": "sin estados guardados", "bottlenecks": "con adaptadores"}
IN_BENCH |= {"TRL, reference kept": "TRL, referencia guardada", "full": "todo"}
GOLD = (
    ("core-seconds", "segundos de núcleo", over_seeds("core_seconds", 0)),
    ("steps", "pasos", "{step}"),
    ("gold reward", "recompensa verdadera", over_seeds("gold")),
    ("gain over the start (95 %)", "ganancia sobre el de partida (95 %)", span("gain")),
    ("p, Holm", "p, Holm", optional("{:.3f}", "holm")),
    ("at equal length", "a igual longitud", optional("{:+.2f}", "length_controlled")),
    ("KL, nats", "KL, nats", over_seeds("kl", 1)),
    ("distinct-2", "distinct-2", over_seeds("distinct_2")),
    ("words", "palabras", over_seeds("words", 1)),
)
CANDIDATES = table(
    "candidates",
    *(
        study.setting(name, head=name, es=es)
        for name, es in {"method": "método", "kind": "se entrena", "lr": "tasa"}.items()
    ),
    study.best(
        "validation_accuracy",
        head="validation accuracy, best",
        es="acierto en validación, el mejor",
        show="{validation_accuracy:.2f}",
    ),
    study.origin(),
    keep_logs=True,
)
POINTS = table(
    "points",
    *study.settings("method", "kind", "seed", "step"),
    *(study.mean(name) for name in ("gold", "proxy", "kl", "words")),
    keep_logs=True,
)
SECONDS = table("seconds", WHO, KIND, *GOLD, spanish=SPANISH)
CALLS = ("judge calls", "preguntas al juez", "{judge_calls}")
STEPS = table("steps", WHO, KIND, *GOLD[:2], CALLS, *GOLD[2:], spanish=SPANISH)
CONTRASTS = table(
    "contrasts",
    ("one", "uno", arm("one")),
    ("other", "otro", arm("other")),
    ("gap in gold reward (95 %)", "diferencia (95 %)", "{gap:+.2f} ({low:+.2f} to {high:+.2f})"),
    ("p, Holm", "p, Holm", "{holm:.3f}"),
)
EQUAL_KL = table(
    "equal_kl",
    WHO,
    KIND,
    ("KL, nats", "KL, nats", "{kl:.2f}"),
    ("gain over the start (95 %)", "ganancia sobre el de partida (95 %)", span("gain")),
    ("p, Holm", "p, Holm", "{holm:.3f}"),
    spanish=SPANISH,
)
ACCURACY = table(
    "accuracy",
    ("who decides", "quién decide", lambda row, _: str(NAMED.get(row["decider"], row["decider"]))),
    KIND,
    ("right (95 %)", "aciertos (95 %)", "{right:.3f} ({right_low:.3f} to {right_high:.3f})"),
    ("right, clearer half", "aciertos, mitad más clara", optional("{:.3f}", "clear")),
    ("steps chosen", "pasos elegidos", "{step}"),
    ("log π of chosen", "log π de la elegida", optional("{:+.1f}", "chosen")),
    ("of rejected", "de la rechazada", optional("{:+.1f}", "rejected")),
    spanish=SPANISH,
)
TAX = table(
    "tax",
    WHO,
    KIND,
    ("perplexity of news", "perplejidad en noticias", "{perplexity:.2f}"),
    ("nats a token more (95 %)", "nats por token de más (95 %)", span("gap", 3)),
    spanish=SPANISH,
)
GREEDY = table(
    "greedy",
    WHO,
    KIND,
    ("decoding", "decodificación", "{decoding}"),
    ("gold reward", "recompensa verdadera", "{gold:.2f}"),
    ("repeated word pairs", "pares repetidos", "{repeated:.3f}"),
    ("distinct-2", "distinct-2", "{distinct_2:.3f}"),
    spanish=SPANISH,
)
ERRORS = table(
    "errors",
    ("prompt", "comienzo", "{prompt}"),
    ("chosen by the judge", "elegida por el juez", "{chosen}"),
    ("what DPO prefers", "la que prefiere DPO", "{rejected}"),
    ("by, nats", "por, nats", "{margin:.1f}"),
    ("the judge's margin", "margen del juez", "{judge_margin:.2f}"),
)
TEXTS = table(
    "texts",
    ("prompt", "comienzo", "{prompt}"),
    ("start", "de partida", "{start}"),
    *((head, head, f"{{{name}}}") for name, head in plots.METHODS.items()),
)
FRONTIER = table("frontier", WHO)
SENSITIVE = table(
    "sensitivity",
    ("loss", "pérdida", "{method}"),
    ("wrong pairs", "pares equivocados", "{wrong:.0%}"),
    ("β", "β", "{beta:g}"),
    ("pairs", "pares", "{pairs}"),
    ("test pairs right (95 %)", "aciertos en prueba (95 %)", "{right:.3f} ({right_low:.3f} to {right_high:.3f})"),
    ("training pairs right", "aciertos al entrenar", "{training:.2f}"),
)
EXPLORATION = table(
    "exploration",
    ("entropy bonus", "premio de entropía", "{bonus:g}"),
    ("entropy, first rounds", "entropía, primeras rondas", "{entropy_first:.2f}"),
    ("last rounds", "últimas", "{entropy_last:.2f}"),
    ("distinct-2, first rounds", "distinct-2, primeras rondas", "{distinct_first:.3f}"),
    ("last", "últimas ", "{distinct_last:.3f}"),
    ("gold reward", "recompensa verdadera", "{gold:.2f}"),
    ("KL, nats", "KL, nats", "{kl:.1f}"),
)
BENCH = table(
    "bench",
    ("DPO step", "paso de DPO", "{arm}"),
    ("ms", "ms", "{step_ms:.0f}"),
    ("time of ours over it", "tiempo del nuestro sobre él", "{ours_over_arm:.2f} ({ratio_q1:.2f} to {ratio_q3:.2f})"),
    ("peak MB", "MB máximos", "{peak_mb:.0f}"),
    ("memory of ours over it", "memoria del nuestro sobre la suya", "{memory:.2f}"),
    ("trained parameters", "parámetros entrenados", "{trained:,}"),
    ("stored bytes", "bytes guardados", "{stored:,}"),
    spanish=IN_BENCH,
)


def views(out: Path) -> dict[str, tuple[Table, list[dict[str, Any]]]]:
    """Block of the README → the table that it shows, and its rows."""
    found = study.written(out, CANDIDATES, SECONDS, STEPS, CONTRASTS, EQUAL_KL, ACCURACY, TAX, GREEDY, TEXTS, BENCH)
    found |= study.written(out, SENSITIVE, EXPLORATION, ERRORS)
    if "texts" in found:
        found["texts"] = TEXTS, found["texts"][1][:3]
    return found
