"""The benchmark: disguised copies and independent pairs, ours and copydetect's on the same pairs.

`python -m shared.lab.originality.benchmark detect --seed 0`, then other seeds, then `speed`, `class-size` and `table`.
copydetect comes with the extra `originality-bench`; the packages that serve as donors are fetched by corpus.py.
"""

import csv
import io
import itertools
import json
import platform
import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import tyro

from shared import plotting, progress
from shared.errors import UserError, reported
from shared.files import write_json, write_text
from shared.lab.originality import corpus, counting
from shared.lab.originality.attacks import HELD_OUT, TUNED_ON, apply, catalogue, functions
from shared.lab.originality.detectors import Copydetect, Ours
from shared.originality import compare, evidence, reading
from shared.originality.reading import Source

RESULTS = evidence.TABLE.with_name("results")
SEVERAL = "three disguises at once"
MOSAIC = "mosaic of two donors"
QUARTER = "25 % stolen, disguised"
TENTH = "10 % stolen, disguised"
CLASS_MATERIAL = ("torch", "pandas", "networkx", "scipy", "sklearn", "matplotlib")  # beside the standard library


@dataclass(frozen=True)
class Case:
    """A text beside a donor's, and whether anything was stolen: `attack` is empty for independent pairs.

    Attributes:
        title: Both files' names.
    """

    attack: str
    text: str
    donor: str
    title: str


def cases(topics: dict[str, list[Source]], attacks: Sequence[str], seed: int, share: float = 1.0) -> Iterator[Case]:
    """Donors under every disguise, and independent pairs: originals of all topics, disguised ones of their own.

    Args:
        topics: Files by topic.
        attacks: Names of disguises.
        seed: Draws the donors and the disguises.
        share: How many of the files of each topic are donors; all of them are in independent pairs.
    """
    everything = [source for group in topics.values() for source in group]
    for one, two in itertools.combinations(everything, 2):
        if corpus.independent(one, two):
            yield Case("", one.text, two.text, f"{one.title} and {two.title}")
    for group in topics.values():
        for donor in donors(group, seed, share):
            strangers = [source for source in group if corpus.independent(source, donor)]
            for attack, text in _disguised(donor, strangers, attacks, seed):
                yield Case(attack, text, donor.text, donor.title)
                if attack not in ("copy", MOSAIC, QUARTER, TENTH):
                    other = Random(f"{seed} {donor.title} {attack} other").choice(strangers)
                    yield Case("", text, other.text, f"{donor.title} ({attack}) and {other.title}")


def donors(group: list[Source], seed: int, share: float) -> list[Source]:
    """The files of a topic that are stolen from."""
    return Random(f"{seed} donors").sample(group, max(1, round(len(group) * share)))


def _cases_in_all(topics: dict[str, list[Source]], attacks: Sequence[str], command: "Detect") -> int:
    """How many `cases` there are, without disguising anything."""
    everything = [source for group in topics.values() for source in group]
    independent = sum(corpus.independent(one, two) for one, two in itertools.combinations(everything, 2))
    mixed = (SEVERAL, MOSAIC, QUARTER, TENTH)
    strangers = [name for name in (*attacks, *mixed) if name not in ("copy", MOSAIC, QUARTER, TENTH)]
    stolen = sum(len(donors(group, command.seed, command.donors)) for group in topics.values())
    return independent + stolen * (len(attacks) + len(mixed) + len(strangers))


def _disguised(donor: Source, strangers: list[Source], attacks: Sequence[str], seed: int) -> Iterator[tuple[str, str]]:
    for attack in attacks:
        yield attack, apply((attack,), donor.text, Random(f"{seed} {donor.title} {attack}"))
    rng = Random(f"{seed} {donor.title} mixed")
    among = tuple(attacks)
    yield SEVERAL, apply(catalogue.disguise(rng, among), donor.text, rng)
    host = rng.choice(strangers).text
    yield MOSAIC, apply(("rename",), functions.mosaic(donor.text, host, rng), rng)
    for name, share in ((QUARTER, 0.25), (TENTH, 0.10)):
        stolen = functions.partial(donor.text, rng.choice(strangers).text, rng, share=share)
        yield name, apply(catalogue.disguise(rng, among), stolen, rng)


# -------------------------------------------------------------------- commands


@dataclass(frozen=True)
class Detect:
    """Score every case of one seed with both detectors."""

    seed: int = 0
    """Draws the disguises."""
    donors: float = 0.5
    """Share of the files that are stolen from, drawn by the seed."""
    topics: str = "held-out"
    """`held-out` or `tuning`: with `tuning` only the disguises that were tuned on."""
    out: Path = RESULTS
    """Folder of the results."""


@dataclass(frozen=True)
class Speed:
    """Pairs per second of both, in turns, in this one process."""

    rounds: int = 5
    """Turns of each."""
    out: Path = RESULTS
    """Folder of the results."""


@dataclass(frozen=True)
class ClassSize:
    """Time and memory of a whole class, in this process."""

    submissions: int = 100
    """How many."""
    lines: int = 1000
    """Lines of code of each."""
    out: Path = RESULTS
    """Folder of the results."""


@dataclass(frozen=True)
class Table:
    """Put the seeds together: results.csv, and the table on the screen."""

    out: Path = RESULTS
    """Folder of the results."""


def detect(command: Detect) -> dict[str, Any]:
    """Recall at zero false positives, by attack; written to `<topics>-seed<seed>.json`."""
    held_out = command.topics == "held-out"
    wanted, attacks = (corpus.HELD_OUT, (*TUNED_ON, *HELD_OUT)) if held_out else (corpus.TUNING, TUNED_ON)
    corpus.fetch(wanted)
    topics = corpus.sources(wanted)
    ours, theirs = Ours(), Copydetect()
    found: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    ranking: list[tuple[float, str]] = []
    total = _cases_in_all(topics, attacks, command)
    drawn = cases(topics, attacks, command.seed, command.donors)
    for case in progress.track(drawn, description="pairs", total=total):
        found[case.attack].append((ours.score(case.text, case.donor), *theirs.scores(case.text, case.donor)))
        if not case.attack:
            ranking.append((round(found[""][-1][0], 3), case.title))
    result = summary(found, ours.calibration) | {
        "seed": command.seed,
        "topics": command.topics,
        "donors": command.donors,
    }
    result["highest independent pairs by ours"] = [list(entry) for entry in sorted(ranking, reverse=True)[:12]]
    write_json(command.out / f"{command.topics}-seed{command.seed}.json", result)
    return result


def summary(found: dict[str, list[tuple[float, float, float]]], calibration: evidence.Calibration) -> dict[str, Any]:
    """Recall of each detector above its highest independent pair, and ours above the shipped threshold."""
    independent = found[""]
    highest = [max(column) for column in zip(*independent, strict=True)]
    rows = {}
    for attack, scores in found.items():
        if attack:
            above = [sum(score[i] > highest[i] for score in scores) / len(scores) for i in range(3)]
            shipped = sum(score[0] >= evidence.THRESHOLD for score in scores) / len(scores)
            rows[attack] = {
                "pairs": len(scores), "ours": above[0], "ours at the shipped threshold": shipped,
                "copydetect": max(above[1:]), "copydetect similarity": above[1], "copydetect overlap": above[2],
                "lowest evidence": round(min(score[0] for score in scores), 3),
            }  # fmt: skip
    p_values = [calibration.p_value(score[0]) for score in independent]
    return {
        "attacks": rows,
        "independent pairs": len(independent),
        "highest independent": {
            "ours": highest[0],
            "copydetect similarity": highest[1],
            "copydetect overlap": highest[2],
        },
        "false positives at the shipped threshold": sum(score[0] >= evidence.THRESHOLD for score in independent),
        "share of independent pairs with p at most": {
            str(level): sum(p <= level for p in p_values) / len(p_values) for level in (0.5, 0.1, 0.05, 0.01, 0.001)
        },
    }


def speed(command: Speed) -> dict[str, Any]:
    """Both detectors over all pairs of the donors: from text to scores, and comparison alone.

    Seconds are the process's own CPU seconds, so that other work on the machine does not count; both use one thread.
    """
    corpus.fetch(corpus.HELD_OUT)
    texts = [source.text for group in corpus.sources(corpus.HELD_OUT).values() for source in group]
    couples = list(itertools.combinations(texts, 2))
    timings: dict[str, list[float]] = defaultdict(list)
    for _ in progress.track(range(command.rounds), description="rounds", total=command.rounds):
        for name, make in (("ours", Ours), ("copydetect", Copydetect)):
            detector: Any = make()
            run = detector.score if name == "ours" else detector.scores
            started = time.process_time()
            for text in texts:
                detector.prepare(text)
            prepared = time.process_time()
            for one, two in couples:
                run(one, two)
            ended = time.process_time()
            timings[f"{name}: text to scores"].append(len(couples) / (ended - started))
            timings[f"{name}: comparison alone"].append(len(couples) / (ended - prepared))
    result = {
        "files": len(texts), "lines": sum(text.count("\n") for text in texts), "pairs": len(couples),
        "rounds": command.rounds, "pairs per second, median": {k: statistics.median(v) for k, v in timings.items()},
        "pairs per second": timings, "machine": _machine(),
    }  # fmt: skip
    write_json(command.out / "speed.json", result)
    return result


def class_size(command: ClassSize) -> dict[str, Any]:
    """Compare a class made of library functions dealt out once each, in which five submissions copy five others."""
    rng = Random(0)
    submissions = _class(command, rng)
    started, worked = time.perf_counter(), time.process_time()
    found = compare.compare(submissions)
    seconds, worked = time.perf_counter() - started, time.process_time() - worked
    planted = [{f"student{n:03}", f"student{n + 1:03}"} for n in range(0, 10, 2)]
    caught = [pair for pair in planted if any({item.one, item.two} == pair for item in found.owners if _above(item))]
    result = {
        "submissions": len(submissions), "lines": sum(source.lines for source in submissions),
        "pairs": found.compared, "seconds": seconds, "CPU seconds": worked,
        "peak memory, MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "planted copies": len(planted), "caught": len(caught),
        "others above the threshold": sum(map(_above, found.owners)) - len(caught), "machine": _machine(),
    }  # fmt: skip
    write_json(command.out / "class.json", result)
    return result


def _above(item: compare.OwnerPair) -> bool:
    return item.best.evidence >= evidence.THRESHOLD


def _class(command: ClassSize, rng: Random) -> list[Source]:
    pieces = []
    for file in counting.library_files(each=900) + counting.installed(CLASS_MATERIAL, each=40):
        source = reading.read_file(file, "library", file.name)
        if source.tree is not None:
            pieces.extend(functions.pieces(source.text))
    rng.shuffle(pieces)
    texts: list[str] = []
    while len(texts) < command.submissions:
        lines: list[str] = []
        while len(lines) < command.lines:
            if not pieces:
                raise UserError(f"too little code is installed for {command.submissions} submissions; ask for fewer")
            lines.extend(pieces.pop().splitlines())
        texts.append("\n".join(lines) + "\n")
    for place in range(0, min(10, command.submissions - 1), 2):
        texts[place + 1] = apply(("rename", "temporaries", "shuffle"), texts[place], rng)
    return [reading.from_text(text, f"student{number:03}", "work.py") for number, text in enumerate(texts)]


def table(command: Table) -> list[dict[str, Any]]:
    """Mean and range over the seeds, as results.csv."""
    files = sorted(command.out.glob("held-out-seed*.json")) + sorted(command.out.glob("tuning-seed*.json"))
    if not files:
        raise UserError(f"{command.out} has no seed's results; run `detect --seed 0` first")
    gathered: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for file in files:
        data = json.loads(file.read_text(encoding="utf-8"))
        for attack, row in data["attacks"].items():
            gathered[data["topics"], attack].append(row)
    order = [*TUNED_ON, *HELD_OUT, SEVERAL, MOSAIC, QUARTER, TENTH]
    rows = [
        {"topics": topics, "attack": attack, "seen while tuning": _seen(attack),
         "seeds": len(found), "pairs": int(sum(row["pairs"] for row in found)),
         **{name: round(statistics.mean(row[name] for row in found), 4)
            for name in ("ours", "ours at the shipped threshold", "copydetect")},
         **{f"{name}, lowest seed": round(min(row[name] for row in found), 4) for name in ("ours", "copydetect")}}
        for (topics, attack), found in sorted(gathered.items(), key=lambda item: (item[0][0], order.index(item[0][1])))
    ]  # fmt: skip
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(command.out / "results.csv", text.getvalue())
    draw([row for row in rows if row["topics"] == "held-out"], command.out / "results.png")
    return rows


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Recall by disguise, both detectors."""
    title = "Disguised copies found without one false alarm (packages not tuned on)"
    with plotting.figure(path, title=title, xlabel="recall", ylabel="", size=(7.4, 6.2)) as axes:
        places = range(len(rows), 0, -1)
        for name, marker, colour in (("ours", "o", plotting.COLOURS[0]), ("copydetect", "s", plotting.COLOURS[1])):
            style = (
                {"markersize": 9, "fillstyle": "none", "markeredgewidth": 1.6} if name == "ours" else {"markersize": 5}
            )
            axes.plot([row[name] for row in rows], places, marker, color=colour, label=name, **style)
        marks = {"yes": "", "in part": " *", "no": " **"}
        axes.set_yticks(list(places), [row["attack"] + marks[row["seen while tuning"]] for row in rows])
        axes.set_xlim(-0.02, 1.02)
        axes.legend(loc="center left", title="** disguise not seen while tuning, * in part")


def _seen(attack: str) -> str:
    """Whether the disguise was looked at while tuning; mixtures were, with the disguises that were tuned on."""
    return "yes" if attack in TUNED_ON else "no" if attack in HELD_OUT else "in part"


def _machine() -> dict[str, Any]:
    return {"python": platform.python_version(), "machine": platform.machine(), "threads": 1}


def main(command: Detect | Speed | ClassSize | Table) -> None:
    """Run one part of the benchmark and show what came out."""
    if isinstance(command, Detect):
        result = detect(command)
        rows = [[attack, row["ours"], row["copydetect"]] for attack, row in result["attacks"].items()]
        progress.table(f"Recall at zero false positives, seed {command.seed}", ["attack", "ours", "copydetect"], rows)
    elif isinstance(command, Table):
        shown = table(command)
        progress.table("Recall at zero false positives", list(shown[0]), [row.values() for row in shown])
    else:
        made = speed(command) if isinstance(command, Speed) else class_size(command)
        flat = {k: v for k, v in made.items() if not isinstance(v, dict)} | made.get("pairs per second, median", {})
        progress.table(type(command).__name__, ["what", "value"], flat.items())


if __name__ == "__main__":
    with reported():
        main(tyro.cli(Detect | Speed | ClassSize | Table, description=__doc__))
        sys.exit(0)
