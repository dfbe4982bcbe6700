"""What the default run shows: three methods side by side, and two prompts answered before and after."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from projects.ppo_dpo_orpo.config import Config
from projects.ppo_dpo_orpo.evaluate import answer, load_checkpoint, summary
from projects.ppo_dpo_orpo.prepare import Prepared, new_policy
from projects.ppo_dpo_orpo.train_preference import Metrics
from shared.errors import UserError
from shared.progress import table

SHOWN = 2


@dataclass(frozen=True, kw_only=True)
class DemoConfig(Config):
    """Train three methods on a few pairs."""

    sampled: int = 48
    test_pairs: int = 16
    pairs: int = 48
    steps: int = 12
    held_out: int = 12
    out: Path | None = None

    def __post_init__(self) -> None:
        """Refuse too what the three methods do not share, and would be passed over in silence."""
        super().__post_init__()
        for name in ("method", "lr", "trainer", "resume"):
            if getattr(self, name) != getattr(Config(), name):
                raise UserError(
                    f"--{name}: here all three methods are trained, each at a rate of its own; "
                    "python -m projects.ppo_dpo_orpo.train_preference (or train_ppo) takes it"
                )

    @property
    def base(self) -> Config:
        """These settings as a run's."""
        return Config(**{field.name: getattr(self, field.name) for field in fields(Config)})


def show(runs: Mapping[str, tuple[Config, Metrics]], prepared: Prepared) -> None:
    """Print gold reward, divergence and variety of each, the prompts with their answers, and what it means."""
    config = next(iter(runs.values()))[0]
    policy, _ = new_policy(config)
    answered = {"start": list(answer(policy, prepared, tokens=config.tokens, seed=0))}
    spent = {"start": 0.0}
    for method, (own, metrics) in runs.items():
        checkpoint = metrics.directory / "checkpoints" / f"step-{own.last:06d}"
        policy = load_checkpoint(new_policy(own)[0], checkpoint)
        answered[method] = list(answer(policy, prepared, tokens=config.tokens, seed=0))
        spent[method] = metrics.core_seconds
    found = {who: summary(items) for who, items in answered.items()}
    names = ("gold", "kl", "distinct_2", "words")
    rows = [(who, f"{spent[who]:.0f}", *(f"{means[name]:.2f}" for name in names)) for who, means in found.items()]
    table(f"{len(prepared.prompts)} held-out prompts", ["", "core-s", "gold", "KL, nats", "distinct-2", "words"], rows)
    for place in range(min(SHOWN, len(prepared.prompts))):
        lines = [(who, " ".join(items[place][1]["response"].split())) for who, items in answered.items()]
        table(prepared.prompts[place].text, ["", "answer"], lines)
    gains = ", ".join(f"{who} {found[who]['gold'] - found['start']['gold']:+.2f}" for who in runs)
    print(f"Gain in gold reward over the start: {gains}. So few steps and prompts decide nothing: see README.md.")
