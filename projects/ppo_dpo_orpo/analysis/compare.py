"""What the measurements say: gains over the start with intervals, at equal core-seconds, steps and divergence.

Prompts are the items (one a film), seeds the repeats; both are resampled. Every gain is paired: the policy's answer to
a prompt with a seed, less the start's answer to the same prompt with the same seed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

import numpy as np

from projects.ppo_dpo_orpo.evaluate import (
    distinct,
    holm,
    length_controlled,
    two_way_bootstrap,
)
from shared.study import Done

Row = dict[str, Any]
"""Fields of a CSV; and under "of", where there is one, the measurements whose means its fields in MEANS are."""
MEANS = {"gold", "kl", "words", "right", "repeated"}
MOST_KL = 10.0
"""Nats a response: methods are compared at most this far from the start."""


@dataclass
class Found:
    """All that was measured.

    Attributes:
        start: Answers of the start, by seed.
        trained: (method, kind) → its cells, one a seed.
        answers: (cell, step) → answers at temperature 1; `pairs`, `news` and `greedy` by cell.
        sensitivity: (study, cell, its test pairs).
        candidates: Names of the cells among which validation chose.
        exploration: PPO without and with an entropy bonus, and their answers.
    """

    start: dict[int, Done]
    start_pairs: Done
    start_news: Done
    trained: dict[tuple[str, str], list[Done]] = field(default_factory=dict)
    answers: dict[tuple[str, int], Done] = field(default_factory=dict)
    pairs: dict[str, Done] = field(default_factory=dict)
    news: dict[str, Done] = field(default_factory=dict)
    greedy: dict[str, Done] = field(default_factory=dict)
    sensitivity: list[tuple[str, Done, Done]] = field(default_factory=list)
    exploration: list[tuple[Done, Done]] = field(default_factory=list)
    candidates: set[str] = field(default_factory=set)

    @property
    def start_prompts(self) -> list[str]:
        """The held-out prompts, in the order of all answers."""
        return [item["prompt"] for item in self.start[min(self.start)].items]

    def steps(self, group: Sequence[Done]) -> list[int]:
        """Steps at which a group's answers were measured."""
        return sorted(step for name, step in self.answers if name == group[0].name)


def gains(found: Found, group: Sequence[Done], step: int, metric: str = "gold") -> np.ndarray:
    """Seeds × prompts: a metric of the policy less that of the start."""
    rows = [
        np.subtract(found.answers[done.name, step].values(metric), found.start[done.config.seed].values(metric))
        for done in group
    ]
    return np.array(rows, dtype=float)


def spent(done: Done, step: int, metric: str) -> int | float:
    """What a cell's training had cost at a step: core-seconds, or calls of the judge (0 where labels were enough)."""
    return max((r[metric] for r in done.source.log.records if metric in r and r["step"] <= step), default=0)


def responses(done: Done) -> list[str]:
    """Texts of a measurement."""
    return [item["response"] for item in done.items]


def rounded(**values: Any) -> Row:
    """Numbers to four digits behind the point."""
    return {name: value if isinstance(value, str | int) else round(float(value), 4) for name, value in values.items()}


def spread(name: str, values: Sequence[float]) -> Row:
    """Mean and sample deviation over seeds."""
    return rounded(**{name: fmean(values), f"{name}_sd": stdev(values) if len(values) > 1 else 0.0})


# ---------------------------------------------------------------- methods against the start


def at_steps(found: Found, last: bool) -> list[Row]:
    """A row a method and kind: at equal core-seconds (each method's own step), or at equal steps (the last)."""
    rows = [start_row(found)]
    for (method, kind), group in found.trained.items():
        steps = found.steps(group)
        step = steps[-1] if last or method != "ppo" else steps[0]
        rows.append(method_row(found, method, kind, group, step))
    adjusted = holm([row["p"] for row in rows[1:]])
    told: list[float | str] = ["", *(round(p, 4) for p in adjusted)]
    return [{**row, "holm": p} for row, p in zip(rows, told, strict=True)]


def start_row(found: Found) -> Row:
    """The start's own numbers."""
    cells = list(found.start.values())
    texts = [responses(done) for done in cells]
    empty = dict.fromkeys(("gain", "gain_low", "gain_high", "p", "length_controlled"), "")
    return {
        "of": cells,
        **{"method": "start", "kind": "", "seeds": len(cells), "step": 0, "judge_calls": 0},
        **{"core_seconds": 0, "core_seconds_sd": 0},
        **spread("gold", [fmean(done.values("gold")) for done in cells]),
        **empty,
        **rounded(kl=0.0, kl_sd=0.0),
        **spread("distinct_2", [distinct(each, 2) for each in texts]),
        **spread("words", [fmean(done.values("words")) for done in cells]),
    }


def method_row(found: Found, method: str, kind: str, group: Sequence[Done], step: int) -> Row:
    """Gain over the start with its interval, and what it came with."""
    cells = [found.answers[done.name, step] for done in group]
    table = gains(found, group, step)
    mean, low, high, p = two_way_bootstrap(table)
    words = gains(found, group, step, "words")
    return {
        "of": cells,
        **{"method": method, "kind": kind, "seeds": len(group), "step": step},
        "judge_calls": spent(group[0], step, "judge_calls"),
        **spread("core_seconds", [spent(done, step, "core_seconds") for done in group]),
        **spread("gold", [fmean(done.values("gold")) for done in cells]),
        **rounded(gain=mean, gain_low=low, gain_high=high, p=p),
        **rounded(length_controlled=length_controlled(table.ravel().tolist(), words.ravel().tolist())),
        **spread("kl", [fmean(done.values("kl")) for done in cells]),
        **spread("distinct_2", [distinct(responses(done), 2) for done in cells]),
        **spread("words", [fmean(done.values("words")) for done in cells]),
    }


def against_each_other(found: Found) -> list[Row]:
    """Pairs of methods at equal core-seconds, for each kind of adapter, and kinds for each method; with Holm."""
    rows = []
    for one, two in contrasts(list(found.trained)):
        tables = []
        for key in (one, two):
            group = found.trained[key]
            steps = found.steps(group)
            tables.append(gains(found, group, steps[0] if key[0] == "ppo" else steps[-1]))
        mean, low, high, p = two_way_bootstrap(tables[0] - tables[1])
        rows.append({"one": " ".join(one), "other": " ".join(two), **rounded(gap=mean, low=low, high=high, p=p)})
    adjusted = holm([row["p"] for row in rows])
    return [{**row, "holm": round(p, 4)} for row, p in zip(rows, adjusted, strict=True)]


def contrasts(keys: Sequence[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Two methods with one kind, or two kinds with one method."""
    for place, one in enumerate(keys):
        yield from ((one, two) for two in keys[place + 1 :] if (one[0] == two[0]) != (one[1] == two[1]))


# ---------------------------------------------------------------- at equal divergence


def frontier(found: Found) -> list[Row]:
    """Every measured point: mean divergence and gain of each seed, the start among them."""
    rows = []
    for (method, kind), group in found.trained.items():
        for done in group:
            rows.append({"method": method, "kind": kind, "seed": done.config.seed, "step": 0, "kl": 0.0, "gain": 0.0})
            for step in found.steps(group):
                gain = float(gains(found, [done], step).mean())
                kl = fmean(found.answers[done.name, step].values("kl"))
                rows.append({**rows[-1], "step": step, **rounded(kl=kl, gain=gain)})
    return rows


def equal_kl(found: Found) -> list[Row]:
    """Gain with its interval at the largest divergence that all have reached, and at the largest that half have.

    At most MOST_KL. Each seed's gains are taken on the straight line over √KL between its two checkpoints around that
    divergence, prompt by prompt; then prompts and seeds are resampled.
    """
    reach = {key: reached(found, group) for key, group in found.trained.items()}
    furthest = sorted(reach.values())
    rows = []
    for kl in sorted({min(MOST_KL, furthest[place]) for place in (0, len(furthest) // 2)}):
        for (method, kind), group in found.trained.items():
            if kl > reach[method, kind]:
                continue
            mean, low, high, p = two_way_bootstrap(np.array([gains_at(found, done, kl) for done in group]))
            told = {"method": method, "kind": kind, "seeds": len(group)}
            rows.append({**told, **rounded(kl=kl, gain=mean, gain_low=low, gain_high=high, p=p)})
    adjusted = holm([row["p"] for row in rows])
    return [{**row, "holm": round(p, 4)} for row, p in zip(rows, adjusted, strict=True)]


def reached(found: Found, group: Sequence[Done]) -> float:
    """How far every seed of a group went, in nats a response."""
    return min(max(mean_kl(found, done, step) for step in found.steps(group)) for done in group)


def mean_kl(found: Found, done: Done, step: int) -> float:
    """Mean divergence of a cell's answers at a step, in nats a response; 0 of the start's."""
    return max(0.0, fmean(found.answers[done.name, step].values("kl"))) if step else 0.0


def gains_at(found: Found, done: Done, kl: float) -> np.ndarray:
    """Each prompt's gain at a divergence: a straight line over √KL between the checkpoints around it.

    Raises:
        ValueError: If the cell never went so far.
    """
    steps = [0, *found.steps([done])]
    far = [mean_kl(found, done, step) ** 0.5 for step in steps]
    table = [gains(found, [done], step)[0] if step else np.zeros(len(found.start_prompts)) for step in steps]
    for place in range(1, len(steps)):
        begin, end = far[place - 1], far[place]
        if begin <= kl**0.5 <= end:
            share = (kl**0.5 - begin) / (end - begin) if end > begin else 1.0
            return (1 - share) * table[place - 1] + share * table[place]
    raise ValueError(f"{done.name} has no checkpoints around {kl:g} nats")


# ---------------------------------------------------------------- what the brief's words ask for


def greedy(found: Found) -> list[Row]:
    """A deterministic policy beside a sampled one, seed 0, at the last step."""
    rows = []
    for name, done in found.greedy.items():
        group = next(g for g in found.trained.values() if g[0].name == name)
        sampled = found.answers[name, found.steps(group)[-1]]
        for way, cell in (("sampled", sampled), ("greedy", done)):
            texts = responses(cell)
            rows.append(
                {
                    **{"of": [cell], "method": done.config.method, "kind": done.config.kind, "decoding": way},
                    **rounded(gold=fmean(cell.values("gold")), repeated=fmean(cell.values("repeated"))),
                    **rounded(distinct_2=distinct(texts, 2), words=fmean(cell.values("words"))),
                }
            )
    return rows


def exploration(found: Found) -> list[Row]:
    """PPO without and with an entropy bonus, seed 0: how free the choice was in the first and in the last rounds."""
    rows = []
    for done, cell in found.exploration:
        entropy, variety = done.values("entropy"), done.values("distinct_2")
        rows.append(
            {
                "bonus": done.config.entropy,
                **rounded(entropy_first=fmean(entropy[:3]), entropy_last=fmean(entropy[-3:])),
                **rounded(distinct_first=fmean(variety[:3]), distinct_last=fmean(variety[-3:])),
                **{"of": [cell]},
                **rounded(gold=fmean(cell.values("gold")), kl=fmean(cell.values("kl"))),
            }
        )
    return rows


def tax(found: Found) -> list[Row]:
    """Perplexity on news before and after, last step; the gap in nats a token is paired by text."""
    start = np.array(found.start_news.values("nats"))
    rows = [
        {
            "method": "start",
            "kind": "",
            "seeds": 1,
            **rounded(perplexity=np.exp(start.mean()), gap=0.0, gap_low=0.0, gap_high=0.0),
        }
    ]
    for (method, kind), group in found.trained.items():
        table = np.array([found.news[done.name].values("nats") for done in group])
        mean, low, high, _ = two_way_bootstrap(table - start)
        rows.append(
            {
                **{"method": method, "kind": kind, "seeds": len(group)},
                **rounded(perplexity=np.exp(table.mean()), gap=mean, gap_low=low, gap_high=high),
            }
        )
    return rows


def texts(found: Found, count: int = 12) -> list[Row]:
    """The first held-out prompts, as the start and each method with LoRA answered them; none is left out."""
    cells = {"start": found.start[0]}
    for (method, kind), group in found.trained.items():
        if kind == "lora":
            cells[method] = found.answers[group[0].name, found.steps(group)[-1]]
    prompts = [item["prompt"] for item in found.start[0].items][:count]
    said = {who: [" ".join(text.split()) for text in responses(cell)] for who, cell in cells.items()}
    return [{"prompt": prompt, **{who: said[who][row] for who in said}} for row, prompt in enumerate(prompts)]
