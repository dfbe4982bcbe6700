"""The criterion on fingerprints: is what the project ran, and what its tables say, as it was saved, and whose is it?

One finding that is worse than unfinished costs all points. An unfinished run (killed, or still going) is named and
neither counts nor costs: people stop runs. What is complete is counted.
"""

import json
import sys
from pathlib import Path
from typing import Any

from shared.course.grading import children
from shared.course.grading.outcomes import Context, Outcome, Said, not_there, too_slow

UNFINISHED = "INCOMPLETE"


def check(context: Context) -> Outcome:
    """Whether every checkpoint, log and sealed table of the project is as it was saved, and by whom."""
    name = context.project.name
    if not (context.project.root / "runs" / name).is_dir():
        return Outcome(0.0, not_there(f"runs/{name}", f"make run-{name}"))
    sealed = [f"projects/{name}/results"] if list(context.project.results.glob("*.seal.json")) else []
    command = [sys.executable, "-m", "shared.course.grading.fingerprints", f"runs/{name}", *sealed]
    ended = children.run(command, context.project.root, context.limits, with_key=True)
    if ended.code is None:
        return too_slow(ended.seconds, ended.output)
    try:
        said = json.loads(ended.output.strip().splitlines()[-1])
        found = said.get("findings", [])
    except (ValueError, IndexError, AttributeError):
        told = (f"the verifier ended with {ended.code}", f"el verificador acabó con {ended.code}")
        return Outcome(0.0, ended.trouble or Said(*told), ended.output)
    return judged(found, said.get("error", ""), context)


def judged(found: list[dict[str, Any]], error: str, context: Context) -> Outcome:
    """The outcome of the verifier's findings."""
    bad = [each for each in found if not each["unchanged"] and each["verdict"] != UNFINISHED]
    if bad:
        first = f"{bad[0]['path']}: {bad[0]['verdict']}"
        counts = (f" ({len(bad)} of {len(found)} not intact)", f" ({len(bad)} de {len(found)} no están intactas)")
        return Outcome(0.0, Said(f"{first}, {bad[0]['detail']}", first) + Said(*counts), data=found)
    stopped = [each for each in found if each["verdict"] == UNFINISHED]
    folders = {run_of(each["path"]) for each in stopped}
    whole = [each for each in found if each["unchanged"] and not folders & {*map(str, Path(each["path"]).parents)}]
    left = unfinished(stopped)
    runs = f"runs/{context.project.name}"
    if not any(each["path"].startswith(runs) for each in whole):
        none = Said(
            f"{runs}: no complete run; make run-{context.project.name}",
            f"{runs}: ninguna ejecución completa; make run-{context.project.name}",
        )
        return Outcome(0.0, none + left + (f"; {error}" if error else ""), data=found)
    if any(each["verdict"] == "UNTRUSTED-DEMO" for each in whole):
        told = (
            f"{len(whole)} intact, but sealed with the demo key: they bind to no team",
            f"{len(whole)} intactas, pero selladas con la clave de demostración: no atan a ningún equipo",
        )
        return Outcome(context.limits.demo_key_share, Said(*told) + left, data=found)
    told = (f"{len(whole)} intact and bound to the team", f"{len(whole)} intactas y atadas al equipo")
    return Outcome(1.0, Said(*told) + left, data=found)


def run_of(path: str) -> str:
    """The folder of the run to which a log or a checkpoint belongs: what else is in it is not complete either."""
    folder = Path(path).parent
    return str(folder.parent if folder.name == "checkpoints" else folder)


def unfinished(found: list[dict[str, Any]]) -> Said:
    """Which runs are not complete, for the reason's end."""
    if not found:
        return Said("", "")
    path, detail = found[0]["path"], found[0]["detail"]
    more = len(found) - 1
    english, spanish = (f" {word} {more}" if more else "" for word in ("and", "y"))
    return Said(
        f"; not complete and not counted: {path} ({detail}){english}", f"; sin terminar, no cuentan: {path}{spanish}"
    )
