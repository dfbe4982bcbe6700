"""The whole loop: judge, preferences, reward model, and PPO on the language model.

python -m projects.rlhf_ppo.train_rlhf --iterations 40 --kl_target 6
python -m projects.rlhf_ppo.train_rlhf --beta 0 --kl_target None     without the penalty
"""

import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import NormalDist

import torch
from torch.optim import AdamW
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from projects.rlhf_ppo.config import Config
from projects.rlhf_ppo.data.preferences import Preference, Split, of_split
from projects.rlhf_ppo.data.prompts import Reviews, prompts_digest, require_texts, split_prompts
from projects.rlhf_ppo.evaluate import Scores, distinct, evaluate
from projects.rlhf_ppo.models.gold_reward import GoldReward
from projects.rlhf_ppo.models.policy import Policy, end_tokens, require_projections
from projects.rlhf_ppo.models.reward_model import RewardModel
from projects.rlhf_ppo.models.text_encoder import load_text_encoder
from projects.rlhf_ppo.rl import ppo
from projects.rlhf_ppo.rollout import PromptBatch, TextRollout, collect_rollout, prompt_batches, respond
from projects.rlhf_ppo.stages import Stage, load_judge, load_preferences, load_reward_model
from shared import devices, optim
from shared.assets import load_causal_lm, load_dataset
from shared.errors import UserError, command
from shared.files import write_text
from shared.progress import table, track
from shared.run_directories import claim, latest_checkpoint, new_directory
from shared.runs import Run
from shared.seeding import generator, seed_everything
from shared.tensors import load_trainable, trainable_state

SHARES: dict[Split, float] = {"train": 1.0, "validation": 0.25, "test": 0.5}  # of --pairs, that are compared


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Result of a run.

    Attributes:
        prompts: Held-out prompts.
        before: Scores of the reference on them.
        after: Scores of the trained policy.
        pair_accuracy: Share of held-out comparisons that the reward model puts right.
    """

    directory: Path
    prompts: list[str]
    before: Scores
    after: Scores
    pair_accuracy: float
    iterations: int


def main(config: Config) -> Metrics:
    """Align a language model with preferences: a reward model, then PPO.

    Raises:
        UserError: If --out, the models or the texts cannot be used: before anything is trained.
    """
    directory = config.out or new_directory(Path("runs"), "rlhf_ppo", config.name)
    claim(directory, resume=config.resume, config=config)
    devices.use_all_cores()
    model, tokenizer = load_causal_lm(config.model)  # first: refused before the judge trains
    require_projections(model, config.model)
    reviews = load_dataset("movie_reviews")
    prompts = split_prompts(reviews, config.prompt_words)
    require_texts(reviews, prompts, gold_texts=config.gold_texts, words=config.prompt_words, batch=config.prompts)
    judge, preferences, reward_model, pair_accuracy = prepare(config, model, tokenizer, reviews, prompts)
    seed_everything(config.seed)
    policy = Policy(model, rank=config.rank, temperature=config.temperature, ends=end_tokens(tokenizer)).eval()
    held_out = prompts["test"][: config.held_out]
    ask = partial(evaluate, policy, tokenizer, held_out, reward_model, judge, tokens=config.tokens, seed=config.seed)
    digest = prompts_digest(prompts, config.held_out)
    with Run(directory, project="rlhf_ppo", config=config, resume=config.resume, data=digest) as run:
        gold = reference_gold(preferences)
        iterations = train(config, policy, reward_model, judge, gold, tokenizer, prompts["train"], run)
        with policy.as_reference():
            before = ask()
        after = ask()
        run.log(iterations, **before.means("before"), **after.means("after"))
        keep_samples(run, iterations, held_out, before, after)
    return Metrics(
        directory=directory,
        prompts=held_out,
        before=before,
        after=after,
        pair_accuracy=pair_accuracy,
        iterations=iterations,
    )


def prepare(
    config: Config,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    reviews: Reviews,
    prompts: dict[Split, list[str]],
) -> tuple[GoldReward, list[Preference], RewardModel, float]:
    """Judge, preferences, reward model and its accuracy on held-out pairs: all that PPO does not move."""
    encoder = partial(load_text_encoder, config.encoder, max_length=config.max_length)
    gold, preferences, reward = (Stage.of(config, name) for name in ("gold", "preferences", "reward"))
    judge = load_judge(gold, encoder(), reviews, limit=config.gold_texts, lr=config.gold_lr, seed=config.data_seed)
    pairs = load_preferences(
        preferences,
        partial(respond, model, tokenizer, tokens=config.tokens, temperature=config.temperature),
        judge,
        {split: found[: round(config.pairs * SHARES[split])] for split, found in prompts.items()},
        noise=config.noise,
        balance=config.balance,
        seed=config.data_seed,
    )
    return judge, pairs, *load_reward_model(reward, encoder(), pairs, lr=config.reward_lr)


def reference_gold(preferences: list[Preference]) -> NormalDist:
    """Mean and deviation of the gold reward over the reference's responses to the training prompts."""
    return NormalDist.from_samples(
        [gold for pair in of_split(preferences, "train") for gold in (pair.gold_a, pair.gold_b)]
    )


def train(
    config: Config,
    policy: Policy,
    reward_model: RewardModel,
    judge: GoldReward,
    gold: NormalDist,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[str],
    run: Run,
) -> int:
    """PPO until the last iteration. Returns the iterations done.

    Args:
        judge: Watches, and decides nothing here.
        gold: Its opinions of the reference's responses, in whose deviations a gain is logged.

    Raises:
        UserError: If the policy diverges: the last checkpoint stays.
    """
    optimizer = AdamW(parameter_groups(policy, lr=config.lr, value_lr=config.value_lr), weight_decay=0.0)
    control = ppo.KLControl(beta=config.beta, target=config.kl_target, horizon=config.horizon)
    if run.checkpoint:
        control.beta = run.restore(partial(load_trainable, policy), optimizer)["beta"]
    batches = prompt_batches(prompts, config.prompts, config.seed, run.step)
    iterations = range(run.step + 1, config.iterations + 1)
    for iteration in track(iterations, description=run.directory.name, total=config.iterations, done=run.step):
        batch = PromptBatch(tokenizer, next(batches))
        rollout = collect_rollout(policy, batch, reward_model, tokens=config.tokens, minibatch=config.minibatch)
        beta, draw = control.beta, generator(config.seed, iteration)
        updated = update(policy, optimizer, rollout, beta=beta, settings=config.settings, draw=draw)
        kl = rollout.kl.sum(1).mean().item()  # nats a response
        control.update(kl, config.prompts)
        judged = judge(batch.texts, rollout.responses).total.mean().item()
        run.log(
            iteration, gold=judged, gold_gain=gold.zscore(judged), kl=kl, beta=beta, **described(rollout), **updated
        )
        refuse_explosion(run, kl, limit=config.kl_limit, iteration=iteration)
        if iteration % config.save_every == 0 or iteration == config.iterations:
            run.save(iteration, trainable_state(policy), optimizer=optimizer, extra={"beta": control.beta})
            run.keep_checkpoints(iteration)
    return config.iterations


def parameter_groups(policy: Policy, *, lr: float, value_lr: float) -> list[dict[str, object]]:
    """A rate for the adapters and one for the value head."""
    rates = {
        "value": (lambda name: name.startswith("value_head."), value_lr),
        "adapters": (lambda name: "lora_" in name, lr),
    }
    return optim.parameter_groups(policy, rates)


def update(
    policy: Policy,
    optimizer: AdamW,
    rollout: TextRollout,
    *,
    beta: float,
    settings: ppo.Settings,
    draw: torch.Generator,
) -> dict[str, float]:
    """PPO's update on a rollout, which is evaluated anew by minibatches. Returns what to log."""
    started = time.perf_counter()
    logged = ppo.update(
        lambda rows: policy(rollout.sequences.rows(rows)),
        optimizer,
        rollout,
        beta=beta,
        settings=settings,
        generator=draw,
    )
    return {"seconds_updating": time.perf_counter() - started, **logged}


def described(rollout: TextRollout) -> dict[str, float]:
    """Metrics of a rollout that the reader of a log wants."""
    return {
        "proxy": rollout.scores.mean().item(),
        "tokens": rollout.mask.sum(1).float().mean().item(),
        "distinct_2": distinct(rollout.responses, 2),
        "seconds_sampling": rollout.seconds_sampling,
        "seconds_scoring": rollout.seconds_scoring,
    }


def refuse_explosion(run: Run, kl: float, *, limit: float, iteration: int) -> None:
    """Stop where the policy has left the language.

    Raises:
        UserError: If the divergence is beyond the limit; names the last checkpoint.
    """
    if kl > limit:
        kept = latest_checkpoint(run.directory)
        raise UserError(
            f"the divergence reached {kl:.1f} nats a response at round {iteration} (--kl_limit {limit:g}): "
            f"training stopped; raise --beta or lower --lr. Last checkpoint: {kept.name if kept else 'none'}"
        )


def keep_samples(run: Run, step: int, prompts: list[str], before: Scores, after: Scores) -> None:
    """Write and seal held_out/samples.jsonl: each held-out prompt with both responses and what was thought of them."""
    lines = []
    for row, prompt in enumerate(prompts):
        sides = {
            name: {"response": scores.responses[row], "gold": scores.gold[row], "proxy": scores.proxy[row]}
            for name, scores in (("before", before), ("after", after))
        }
        lines.append(json.dumps({"prompt": prompt, **sides}, ensure_ascii=False, allow_nan=False))
    with run.sealed("held_out", step) as folder:
        write_text(folder / "samples.jsonl", "\n".join(lines) + "\n")


def report(metrics: Metrics) -> None:
    """Print what a run came to."""
    rows = [
        (name, *(f"{value:.3f}" for value in scores.means("x").values()))
        for name, scores in (("reference", metrics.before), ("after PPO", metrics.after))
    ]
    table(str(metrics.directory), ["policy", "gold", "proxy", "KL, nats", "distinct-2", "words"], rows)


if __name__ == "__main__":
    command(lambda config: report(main(config)), Config)
