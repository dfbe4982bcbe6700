"""Which held-out pairs are put right: by each method, by who needs none of them, and where DPO errs most.

Films are the units: a film's pairs are not independent.
"""

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import torch

from projects.ppo_dpo_orpo.analysis.compare import Found, Row, rounded
from projects.ppo_dpo_orpo.data import Pair
from projects.ppo_dpo_orpo.evaluate import likelier_right, longer_right, probe_right
from projects.ppo_dpo_orpo.prepare import Prepared
from shared.study import Done, bootstrap


def baselines(prepared: Prepared) -> list[Row]:
    """Who puts how many test pairs right without any of the methods: length, the start, a probe on its states."""
    test, films = prepared.encoded["test"], [pair.group for pair in prepared.encoded["test"].pairs]
    gold = torch.tensor([float(pair.gold_margin > 0) for pair in test.pairs])
    deciders = {
        "longer response": longer_right(test),
        "likelier response": likelier_right(test),
        "linear probe": probe_right(prepared),
        "gold judge": gold,
    }
    return [
        {"decider": name, "kind": "", "seeds": 1, **right(found.tolist(), films)} for name, found in deciders.items()
    ]


def right(values: Sequence[float], films: Sequence[str]) -> Row:
    """Share of pairs with its interval; films are resampled, since a film's pairs are not independent."""
    low, high = bootstrap(values, films)
    return rounded(pairs=len(values), right=fmean(values), right_low=low, right_high=high)


def accuracy(found: Found, base: Sequence[Row]) -> list[Row]:
    """Test pairs put right: baselines, the start, and each method at the step that validation chose."""
    rows = [{**row, "clear": "", "step": "", "chosen": "", "rejected": ""} for row in base]
    for (method, kind), group in found.trained.items():
        cells = [found.pairs[done.name] for done in group]
        values = [fmean(each) for each in zip(*(done.values("right") for done in cells), strict=True)]
        films = [item["film"] for item in cells[0].items]
        clear = np.array(cells[0].values("judge_margin")) >= np.median(cells[0].values("judge_margin"))
        moved = {side: mean_moved(group, side) for side in ("chosen", "rejected")}
        rows.append(
            {
                **{"of": cells, "decider": method, "kind": kind, "seeds": len(group), **right(values, films)},
                **rounded(clear=float(np.array(values)[clear].mean())),
                "step": " ".join(str(done.config.step) for done in cells),
                **rounded(**moved),
            }
        )
    return rows


def mean_moved(group: Sequence[Done], side: str, over: int = 10) -> float | str:
    """Log π − log π_ref of chosen or rejected training responses, summed over tokens: mean of the last steps and seeds.

    PPO sees no pairs: nothing.
    """
    each = [done.values(side)[-over:] for done in group if done.values(side)]
    return fmean(map(fmean, each)) if each else ""


def sensitivity(found: Found) -> list[Row]:
    """DPO with LoRA, one setting at a time, seed 0: test pairs right."""
    base = found.trained["dpo", "lora"][0]
    rows = []
    for study_name, done, cell in [("base", base, found.pairs[base.name]), *found.sensitivity]:
        films = [item["film"] for item in cell.items]
        told = {name: getattr(done.config, name) for name in ("method", "wrong", "beta", "pairs")}
        shares = right(cell.values("right"), films)
        trained = fmean(done.values("accuracy")[-10:])
        rows.append(
            {
                "of": [cell],
                "study": study_name,
                **told,
                "asked": shares.pop("pairs"),
                **shares,
                **rounded(training=trained),
            }
        )
    return rows


def worst(found: Found, pairs: Sequence[Pair], count: int = 5) -> list[Row]:
    """The test pairs that DPO with LoRA puts wrong by most, in the mean over its seeds."""
    cells = [found.pairs[done.name] for done in found.trained["dpo", "lora"]]
    margins = [fmean(each) for each in zip(*(cell.values("margin") for cell in cells), strict=True)]
    order = sorted(range(len(pairs)), key=margins.__getitem__)[:count]
    return [
        {
            "prompt": pairs[row].text,
            **{side: " ".join(getattr(pairs[row], side).split()) for side in ("chosen", "rejected")},
            **rounded(margin=margins[row], judge_margin=pairs[row].margin),
        }
        for row in order
    ]
