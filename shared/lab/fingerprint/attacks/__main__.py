"""`python -m shared.lab.fingerprint.attacks`: try every attack on a fresh tree, and write the table."""

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from shared import checks
from shared.errors import command
from shared.files import write_json
from shared.fingerprint.keys import team_key
from shared.fingerprint.results import seal_table
from shared.lab.fingerprint.attacks import ATTACKS, Scene, build
from shared.lab.fingerprint.attacks.scene import write_csv
from shared.progress import table


@dataclass(frozen=True)
class Arguments:
    """Try every known attack on a small tree of runs and results."""

    out: Path = Path("shared/fingerprint/results")
    """Where attacks.csv and attacks.json go."""
    saves: int = 100
    """Trees made and verified untouched, to count false alarms."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        checks.at_least(self, 0, "saves")


def main(arguments: Arguments) -> int:
    """Print what each attack was found as; 1 if one was not found, or an untouched tree was accused."""
    with tempfile.TemporaryDirectory() as folder:
        clean = build(Path(folder) / "clean")
        rows = []
        for number, attack in enumerate(ATTACKS):
            scene = Scene(Path(folder) / str(number))
            shutil.copytree(clean.root, scene.root)
            found = attack.caught(scene)
            answer = {"verdict": found.verdict.value, "found": found.detail} if found else {"verdict": "", "found": ""}
            where = attack.path.encode("utf-8", "backslashreplace").decode()
            rows.append({"attack": attack.name, "caught": int(found is not None), **answer, "path": where})
        alarms = sum(false_alarm(Path(folder) / f"save-{number}") for number in range(arguments.saves))
    table("Attacks", ["attack", "verdict", "found"], [(r["attack"], r["verdict"], r["found"]) for r in rows])
    caught = sum(row["caught"] == 1 for row in rows)
    print(f"{caught} of {len(rows)} attacks caught; {alarms} false alarms in {arguments.saves} untouched trees")
    write_csv(arguments.out / "attacks.csv", rows)
    seal_table(arguments.out / "attacks.csv", project="fingerprint", key=team_key())
    counts = {"attacks": len(rows), "caught": caught, "untouched": arguments.saves, "false_alarms": alarms}
    write_json(arguments.out / "attacks.json", counts)
    return int(caught < len(rows) or alarms > 0)


def false_alarm(root: Path) -> bool:
    """Whether an untouched tree is accused of anything."""
    accused = any(not finding.verdict.unchanged for finding in build(root).findings())
    shutil.rmtree(root)
    return accused


if __name__ == "__main__":
    sys.exit(command(main, Arguments))
