"""What a run can be told: the pairs, the policy, the method, one field after the other."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from projects.ppo_dpo_orpo.policies import Kind
from shared import checks
from shared.errors import UserError

FASTEST = 1e6
"""No learning rate is meant to be higher: single precision overflows behind it."""
Method = Literal["dpo", "cdpo", "ipo", "orpo", "ppo"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Learn from preferences by DPO, ORPO or PPO, with LoRA or with bottleneck adapters."""

    model: str = "smollm2"
    """Policy: an embedded causal model, a local folder, or a Hugging Face id (gpt2)."""
    dataset: str = "films"
    """Pairs: "films", which are sampled and judged here, or a .jsonl file of prompt, chosen, rejected (or messages)."""
    sampled: int = 400
    """Training pairs that are made of films; validation gets a quarter of it."""
    test_pairs: int = 420
    """Pairs of test films that are made."""
    tokens: int = 20
    """Tokens of a response, at most; a longer one of a file is refused."""
    data_seed: int = 0
    """Seeds the sampling of pairs, and which of them are put in the wrong order."""

    pairs: int = 400
    """Training pairs that are learned from: the first so many."""
    wrong: float = 0.0
    """Share of the training pairs that are put in the wrong order."""

    method: Method = "dpo"
    """What is learned by: dpo, cdpo (conservative), ipo, orpo, or ppo."""
    kind: Kind = "lora"
    """What is trained: lora (PEFT) or adapter (bottlenecks of our own), in the upper layers."""
    size: int | None = None
    """Rank of LoRA or width of a bottleneck; by default 8 and 64, about as many parameters."""
    upper: float = 1 / 3
    """Share of the layers, from the top, that are adapted; the states of the others are kept."""
    lr: float = 1e-3
    """Learning rate."""
    steps: int = 40
    """Optimizer steps; of PPO too, whose rounds are this by updates a round."""
    batch_size: int = 8
    """Pairs of a step; of PPO, responses of a step."""
    beta: float = 0.1
    """β of DPO and IPO."""
    label_noise: float = 0.1
    """ε of cdpo: the share of wrong orders that it expects."""
    weight: float = 1.0
    """λ of ORPO."""

    prompts: int = 16
    """PPO: prompts a round."""
    epochs: int = 2
    """PPO: passes over a round."""
    kl_weight: float = 0.05
    """PPO: β of the reward's penalty, fixed."""
    entropy: float = 0.0
    """PPO: weight of the entropy bonus."""
    clip: float = 0.2
    """PPO: ε of the clipped surrogate and of the clipped value."""
    lam: float = 0.95
    """PPO: λ of the generalised advantages; γ is 1."""
    value_lr: float = 1e-3
    """PPO: learning rate of the value head."""

    watch: tuple[int, ...] = ()
    """Steps whose checkpoints are kept, and of which validation chooses; by default half of the steps, and the last."""
    kl_limit: float = 60.0
    """Estimated divergence in nats a response beyond which training stops and keeps its last checkpoint."""
    save_every: int = 8
    """Steps between checkpoints."""
    held_out: int = 48
    """Test prompts that are answered, one a film."""
    trainer: Literal["ours", "trl"] = "ours"
    """trl hands the same pairs, settings and adapters to TRL's DPOTrainer (DPO with LoRA only; for accelerators)."""
    seed: int = 0
    """Seeds adapters, order and PPO's sampling."""
    out: Path | None = None
    """Directory of the run; by default a new one below runs/ppo_dpo_orpo/."""
    stages: Path = Path("runs/ppo_dpo_orpo/stages")
    """Where sampled pairs are kept; what is there and fits is used again."""
    resume: bool = False
    """Continue the run in --out from its last checkpoint."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, in one line each."""
        checks.at_least(self, 1, "sampled", "test_pairs", "tokens", "pairs", "size", "steps", "batch_size", "prompts")
        checks.at_least(self, 1, "epochs", "save_every", "held_out")
        checks.positive(self, "lr", "value_lr", "beta", "kl_limit")
        checks.at_least(self, 0, "kl_weight", "entropy", "weight")
        checks.at_most(self, checks.WIDEST, "size")
        checks.at_most(self, 4096, "tokens")
        checks.at_most(self, FASTEST, "lr", "value_lr")
        checks.share(self, "clip")
        for name, most in {"wrong": 0.5, "label_noise": 0.5, "lam": 1.0, "upper": 1.0}.items():
            if not 0 <= getattr(self, name) <= most:
                raise UserError(f"--{name} {getattr(self, name)}: must be in [0, {most:g}]")
        if any(step < 1 for step in self.watch):
            raise UserError(f"--watch {' '.join(map(str, self.watch))}: steps begin with 1")
        if self.method == "ppo" and self.prompts % self.batch_size:
            raise UserError(f"--prompts {self.prompts}: must be a multiple of --batch_size {self.batch_size}")
        if self.trainer == "trl" and (self.method not in ("dpo", "cdpo") or self.kind != "lora" or self.resume):
            raise UserError("--trainer trl: takes --method dpo or cdpo with --kind lora, and no --resume")
        checks.resumable(self)

    @property
    def width(self) -> int:
        """Rank or bottleneck."""
        return self.size or (8 if self.kind == "lora" else 64)

    @property
    def updates(self) -> int:
        """PPO: optimizer steps of one round."""
        return self.epochs * self.prompts // self.batch_size

    @property
    def watched(self) -> list[int]:
        """Steps at which validation is asked; for PPO ends of rounds."""
        unit = self.updates if self.method == "ppo" else 1
        found = {max(unit, step // unit * unit) for step in self.watch or (self.steps // 2,)}
        return sorted({step for step in found if step < self.last} | {self.last})

    @property
    def last(self) -> int:
        """The last step: PPO's rounds are whole."""
        unit = self.updates if self.method == "ppo" else 1
        return max(unit, self.steps // unit * unit)

    @property
    def name(self) -> str:
        """The run's name when --out does not give one."""
        return f"{self.method}-{self.kind}-seed{self.seed}"

    def stage_settings(self) -> dict[str, object]:
        """What the sampled pairs depend on."""
        names = ("model", "sampled", "test_pairs", "tokens", "data_seed")
        return {name: getattr(self, name) for name in names}


SMOKE = Config(sampled=8, test_pairs=4, tokens=4, pairs=8, steps=4, batch_size=2, prompts=4, save_every=2, held_out=2)
"""The real configuration, smaller: for tests."""
