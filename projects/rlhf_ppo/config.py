"""What the pipeline can be told: judge, preferences, reward model and PPO, one field after the other."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from projects.rlhf_ppo.rl.ppo import Settings
from shared import checks
from shared.errors import UserError

COLDEST = 0.01  # below it a response is the likeliest one, and no log-probability is left to learn from


@dataclass(frozen=True, kw_only=True)
class Config:
    """Align a language model with preferences: a reward model, then PPO."""

    model: str = "smollm2"
    """Policy: an embedded causal model, a local folder, or a Hugging Face id."""
    encoder: str = "minilm"
    """Encoder below the reward model and below the judge."""
    max_length: int = 64
    """Tokens that an encoder reads of a text; the rest is cut."""

    gold_texts: int | None = None
    """Reviews that the judge learns from; by default all of the training split."""
    gold_lr: float = 3e-4
    """Learning rate of the judge's top layers; its head has ten times as much."""

    pairs: int = 160
    """Prompts that are compared on for training; validation gets a quarter of it, the test half."""
    prompt_words: int = 6
    """Words of a review's opening that make a prompt."""
    noise: float = 0.5
    """Points of the judge's scale by which a choice is uncertain: 0 makes every choice the judge's."""
    balance: bool = True
    """Leave out pairs until length says nothing about the choice."""
    reward_lr: float = 1e-2
    """Learning rate of the reward model's head."""

    iterations: int = 6
    """Rounds of sampling and updating."""
    prompts: int = 16
    """Prompts a round."""
    tokens: int = 24
    """Tokens of a response, at most."""
    temperature: float = 0.7
    """Temperature of sampling, and of every log-probability; at least 0.01."""
    lr: float = 3e-4
    """Learning rate of the policy's adapters."""
    value_lr: float = 1e-3
    """Learning rate of the value head."""
    rank: int = 16
    """Rank of the policy's adapters."""
    beta: float = 0.2
    """Weight of the divergence from the reference, at the start."""
    kl_target: float | None = 6.0
    """Divergence a response, in nats, towards which beta is steered; None keeps beta."""
    horizon: int = 100
    """Responses over which beta may change by a fifth; a round of more changes it by no more."""
    kl_limit: float = 80.0
    """Divergence a response beyond which training stops: the policy has left the language."""
    clip: float = 0.2
    """Probability ratios beyond 1 ± clip give no further gradient."""
    value_clip: float = 0.2
    """The same for values."""
    gamma: float = 1.0
    """Discount."""
    lam: float = 0.95
    """λ of the generalised advantages."""
    value_weight: float = 0.1
    """Weight of the value loss."""
    entropy_weight: float = 0.0
    """Weight of the entropy bonus."""
    epochs: int = 4
    """Passes over each round's responses."""
    minibatch: int = 8
    """Responses of one update."""
    max_norm: float = 1.0
    """The gradient is clipped to this Euclidean norm."""
    held_out: int = 48
    """Test prompts on which the policy is judged before and after."""
    save_every: int = 5
    """Rounds between checkpoints."""

    seed: int = 0
    """Seeds sampling, order and initial adapters of PPO; judge, preferences and reward model keep data_seed."""
    data_seed: int = 0
    """Seeds the judge, the preferences and the reward model."""
    out: Path | None = None
    """Directory of the run; by default a new one below runs/rlhf_ppo/."""
    stages: Path = Path("runs/rlhf_ppo/stages")
    """Where judge, preferences and reward model are kept; what is there and fits is used again."""
    resume: bool = False
    """Continue the run in --out from its last checkpoint."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, in one line each."""
        counts = ("pairs", "prompt_words", "iterations", "prompts", "tokens", "rank", "epochs", "minibatch", "held_out")
        checks.at_least(self, 1, *counts, "save_every", "horizon", "max_length")
        checks.at_least(self, 2, "gold_texts")
        checks.at_least(self, COLDEST, "temperature")
        checks.positive(self, "gold_lr", "reward_lr", "lr", "value_lr", "temperature", "max_norm", "kl_limit")
        for name in ("beta", "noise", "value_weight", "entropy_weight", "clip", "value_clip"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(f"--{name} {getattr(self, name)}: must be 0 or more")
        for name in ("gamma", "lam"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"--{name} {getattr(self, name)}: must be in [0, 1]")
        if self.kl_target is not None and self.kl_target <= 0:
            raise UserError(f"--kl_target {self.kl_target}: must be above 0, or None")
        if self.pairs < 4:
            raise UserError(f"--pairs {self.pairs}: at least 4, so that validation and test have one")
        checks.resumable(self)

    @property
    def base(self) -> "Config":
        """These settings alone, of a command whose configuration adds its own."""
        return Config(**{field.name: getattr(self, field.name) for field in fields(Config)})

    @property
    def name(self) -> str:
        """The run's name when --out does not give one."""
        steered = f"target{self.kl_target:g}" if self.kl_target else f"beta{self.beta:g}"
        return f"ppo-{steered}-seed{self.seed}"

    @property
    def settings(self) -> Settings:
        """Settings of the update."""
        return Settings(**{name: getattr(self, name) for name in asdict(Settings())})

    def stage_settings(self, stage: str) -> dict[str, Any]:
        """The fields on which a stage's result depends, its predecessors' included."""
        gold = ("encoder", "max_length", "gold_texts", "gold_lr", "data_seed")
        preferences = (*gold, "model", "pairs", "prompt_words", "tokens", "temperature", "noise", "balance")
        names = {"gold": gold, "preferences": preferences, "reward": (*preferences, "reward_lr")}[stage]
        return {name: getattr(self, name) for name in names}


SMOKE = Config(gold_texts=64, pairs=8, iterations=2, prompts=2, tokens=4, minibatch=2, epochs=2, rank=2, held_out=2)
"""The real configuration, smaller: for tests."""
