"""`make bench-rlhf_ppo`: where the time of an iteration goes, sampling beside a plain generation loop, and memory.

Sampling with the policy (adapters on) alternates with the library's own `generate` on the bare model, prompt by prompt
and as a batch, round by round in one process, so that a drift of the machine's speed touches all of them alike.
"""

import statistics
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.optim import AdamW

from projects.rlhf_ppo.config import Config
from projects.rlhf_ppo.data.prompts import split_prompts
from projects.rlhf_ppo.models.policy import Policy, end_tokens, sample
from projects.rlhf_ppo.models.reward_model import RewardModel
from projects.rlhf_ppo.models.text_encoder import load_text_encoder
from projects.rlhf_ppo.rollout import PromptBatch, collect_rollout
from projects.rlhf_ppo.study import BENCH, RESULTS
from projects.rlhf_ppo.train_rlhf import parameter_groups, update
from shared import checks, devices
from shared.assets import load_causal_lm, load_dataset
from shared.errors import command
from shared.measured import publish_bench
from shared.progress import track
from shared.seeding import generator, seed_everything


@dataclass(frozen=True, kw_only=True)
class BenchConfig(Config):
    """Measure an iteration of PPO and its parts."""

    rounds: int = 5
    """How often everything has its turn; the first is warm-up and is not counted."""
    out: Path = RESULTS
    """Where bench.csv and bench.json go."""


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Measure where an iteration's time goes, and sampling beside a plain generation loop."""
    checks.at_least(config, 2, "rounds")  # the first is warm-up
    devices.use_all_cores()
    rows = [row(part, times) for part, times in measure(config).items()]
    details = {"prompts": config.prompts, "tokens": config.tokens, "epochs": config.ppo.epochs}
    details |= {"minibatch": config.ppo.minibatch, "rank": config.rank, "peak_mb": round(devices.peak_memory_mb())}
    print(", ".join(f"{name} {value}" for name, value in details.items()))
    return publish_bench(BENCH, rows, config.out, "rlhf_ppo", details)


def measure(config: BenchConfig) -> dict[str, list[float]]:
    """Seconds of each part, round by round."""
    seed_everything(config.seed)
    bare, tokenizer = load_causal_lm(config.model)
    model, _ = load_causal_lm(config.model)
    policy = Policy(model, rank=config.rank, temperature=config.temperature, ends=end_tokens(tokenizer)).eval()
    reward = RewardModel(load_text_encoder(config.encoder, max_length=config.max_length)).eval()
    optimizer = AdamW(parameter_groups(policy, lr=config.lr, value_lr=config.value_lr))
    texts = split_prompts(load_dataset("movie_reviews"), config.prompt_words)["train"]
    drawn: dict[str, Any] = {"tokens": config.tokens, "temperature": config.temperature, "ends": policy.ends}
    seconds: dict[str, list[float]] = defaultdict(list)
    for turn in track(range(config.rounds), description="rounds", total=config.rounds):
        batch = PromptBatch(tokenizer, texts[turn * config.prompts : (turn + 1) * config.prompts])
        singly = [PromptBatch(tokenizer, [text]) for text in batch.texts]
        for part, batches in {"one prompt at a time": singly, "one batch": [batch]}.items():
            started = time.perf_counter()
            for each in batches:
                sample(bare, each.input_ids, each.attention_mask, **drawn)
            seconds[f"plain generate, {part}"].append(time.perf_counter() - started)
        rollout = collect_rollout(policy, batch, reward, tokens=config.tokens, minibatch=config.ppo.minibatch)
        seconds["iteration: sampling"].append(rollout.seconds_sampling)
        seconds["iteration: scoring"].append(rollout.seconds_scoring)
        draw = generator(config.seed, turn)
        updated = update(policy, optimizer, rollout, beta=config.beta, settings=config.ppo, draw=draw)
        seconds["iteration: updating"].append(updated["seconds_updating"])
    return {part: times[1:] for part, times in seconds.items()}


def row(part: str, times: list[float]) -> dict[str, Any]:
    """Median and quartiles of one part."""
    q1, median, q3 = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    return {"part": part, "seconds": round(median, 2), "q1": round(q1, 2), "q3": round(q3, 2), "rounds": len(times)}


if __name__ == "__main__":
    command(main, BenchConfig)
