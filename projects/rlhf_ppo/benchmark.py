"""`make bench-rlhf_ppo`: where the time of an iteration goes, sampling beside a plain generation loop, and memory.

Sampling with the policy (adapters on) alternates with the library's own `generate` on the bare model, prompt by prompt
and as a batch, round by round in one process, so that a drift of the machine's speed touches all of them alike.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.optim import AdamW
from transformers import GenerationConfig, PreTrainedModel

from projects.rlhf_ppo import stages
from projects.rlhf_ppo.config import Config
from projects.rlhf_ppo.models.policy import Policy, end_tokens
from projects.rlhf_ppo.models.reward_model import RewardModel
from projects.rlhf_ppo.rl import ppo
from projects.rlhf_ppo.rollout import Prompts, play
from projects.rlhf_ppo.study import BENCH, RESULTS
from projects.rlhf_ppo.train_rlhf import parameter_groups
from shared import devices
from shared.assets import load_causal_lm
from shared.errors import UserError, command
from shared.progress import track
from shared.runs import peak_memory_mb
from shared.seeding import generator, seed_everything
from shared.study import publish_bench


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Measure an iteration of PPO and its parts."""

    train: Config = Config()
    """Sizes of the iteration."""
    rounds: int = 5
    """How often everything has its turn; the first is warm-up and is not counted."""
    out: Path = RESULTS
    """Where bench.csv and bench.json go."""


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Measure where an iteration's time goes, and sampling beside a plain generation loop."""
    if config.rounds < 2:
        raise UserError("--rounds must be at least 2 (the first is warm-up)")
    devices.use_all_cores()
    seconds = measure(config)
    rows = [row(part, times) for part, times in seconds.items()]
    sizes = {name: getattr(config.train, name) for name in ("prompts", "tokens", "epochs", "minibatch", "rank")}
    details = {**sizes, "peak_mb": round(peak_memory_mb())}
    print(", ".join(f"{name} {value}" for name, value in details.items()))
    return publish_bench(BENCH, rows, config.out, "rlhf_ppo", details)


def measure(config: BenchConfig) -> dict[str, list[float]]:
    """Seconds of each part, round by round."""
    sizes = config.train
    seed_everything(sizes.seed)
    bare, tokenizer = load_causal_lm(sizes.model)
    model, _ = load_causal_lm(sizes.model)
    policy = Policy(model, rank=sizes.rank, temperature=sizes.temperature, ends=end_tokens(tokenizer)).eval()
    reward = RewardModel(stages.text_encoder(sizes)).eval()
    optimizer = AdamW(parameter_groups(sizes, policy))
    texts = stages.split_openings(sizes)["train"]
    seconds: dict[str, list[float]] = {}

    def timed(part: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        done = work()
        seconds.setdefault(part, []).append(time.perf_counter() - started)
        return done

    for turn in track(range(config.rounds), description="rounds", total=config.rounds):
        batch = Prompts(tokenizer, texts[turn * sizes.prompts : (turn + 1) * sizes.prompts])
        singles = [Prompts(tokenizer, [text]) for text in batch.texts]
        timed("plain generate, one prompt at a time", lambda: [plain(bare, each, sizes) for each in singles])  # noqa: B023
        timed("plain generate, one batch", partial(plain, bare, batch, sizes))
        played = play(policy, batch, reward, tokens=sizes.tokens, size=sizes.minibatch)
        for part, spent in zip(("iteration: sampling", "iteration: scoring"), played.seconds, strict=True):
            seconds.setdefault(part, []).append(spent)
        timed("iteration: updating", partial(learn, policy, optimizer, played, sizes, turn))
    return {part: times[1:] for part, times in seconds.items()}


@torch.no_grad()
def plain(model: PreTrainedModel, prompts: Prompts, sizes: Config) -> torch.Tensor:
    """The library's own sampling with the bare model."""
    settings = GenerationConfig(
        do_sample=True,
        temperature=sizes.temperature,
        top_k=0,
        max_new_tokens=sizes.tokens,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.eos_token_id,
    )
    return model.generate(input_ids=prompts.ids, attention_mask=prompts.attention, generation_config=settings)


def learn(policy: Policy, optimizer: AdamW, played: Any, sizes: Config, turn: int) -> None:
    """The update of one iteration."""
    ppo.update(
        lambda rows: policy(played.sequences.rows(rows)),
        optimizer,
        played.experience,
        beta=sizes.beta,
        settings=sizes.settings,
        generator=generator(sizes.seed, turn),
    )


def row(part: str, times: list[float]) -> dict[str, Any]:
    """Median and quartiles of one part."""
    q1, median, q3 = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    return {"part": part, "seconds": round(median, 2), "q1": round(q1, 2), "q3": round(q3, 2), "rounds": len(times)}


if __name__ == "__main__":
    command(main, BenchConfig)
