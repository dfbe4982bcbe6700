"""The whole loop: judge, preferences, reward model, and PPO on the language model.

python -m projects.rlhf_ppo.train_rlhf --iterations 40 --kl_target 6
python -m projects.rlhf_ppo.train_rlhf --beta 0 --kl_target None     without the penalty
"""

import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.optim import AdamW

from projects.rlhf_ppo import stages
from projects.rlhf_ppo.config import Config
from projects.rlhf_ppo.data.preferences import Preference, of_split
from projects.rlhf_ppo.evaluate import Judged, distinct, judge
from projects.rlhf_ppo.models.gold_reward import GoldReward
from projects.rlhf_ppo.models.policy import Policy, end_tokens, require_projections
from projects.rlhf_ppo.models.reward_model import RewardModel
from projects.rlhf_ppo.rl import ppo
from projects.rlhf_ppo.rollout import Prompts, Round, play, prompt_batches
from shared import devices, optim
from shared.assets import load_causal_lm
from shared.errors import UserError, command
from shared.files import write_text
from shared.fingerprint.origin import data_digest
from shared.progress import table, track
from shared.runs import Run, claim, latest_checkpoint, new_directory, trainable_state
from shared.seeding import generator, seed_everything


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What a run came to.

    Attributes:
        directory: Of the run.
        prompts: That were held out.
        before: Held-out prompts answered by the reference.
        after: The same prompts answered by the trained policy.
        pair_accuracy: Of the reward model on held-out comparisons.
        iterations: Rounds done.
    """

    directory: Path
    prompts: list[str]
    before: Judged
    after: Judged
    pair_accuracy: float
    iterations: int


@dataclass(frozen=True)
class World:
    """All that PPO does not move.

    Attributes:
        gold: The judge; it watches, and decides nothing here.
        gold_mean: Of its opinions of the reference's responses, as is `gold_scale`, their deviation.
        gold_scale: See `gold_mean`.
        reward: The reward model.
        pair_accuracy: Of it, on held-out comparisons.
        tokenizer: Of the policy.
        train: Prompts.
        test: Prompts that are held out.
    """

    gold: GoldReward
    gold_mean: float
    gold_scale: float
    reward: RewardModel
    pair_accuracy: float
    tokenizer: object
    train: list[str]
    test: list[str]


def main(config: Config) -> Metrics:
    """Align a language model with preferences: a reward model, then PPO.

    Raises:
        UserError: If --out, the models or the texts cannot be used: before anything is trained.
    """
    directory = config.out or new_directory(Path("runs"), "rlhf_ppo", config.name)
    claim(directory, resume=config.resume)
    devices.use_all_cores()
    model, tokenizer = load_causal_lm(config.model)  # here, and not where it is needed: refused before the judge trains
    require_projections(model, config.model)
    stages.require_texts(config)
    gold = stages.gold_reward(config)
    pairs = stages.preferences(config, gold)
    fitted = stages.reward_model(config, pairs)
    world = world_of(config, gold, pairs, fitted, tokenizer)
    seed_everything(config.seed)
    policy = Policy(model, rank=config.rank, temperature=config.temperature, ends=end_tokens(tokenizer)).eval()
    with Run(directory, project="rlhf_ppo", config=config, resume=config.resume, data=prompts_digest(config)) as run:
        iterations = train(config, policy, world, run)
        before = held_out(config, policy, world, reference=True)
        after = held_out(config, policy, world)
        run.log(iterations, **summary("before", before), **summary("after", after))
        keep_samples(run, iterations, world.test, before, after)
    return Metrics(
        directory=directory,
        prompts=world.test,
        before=before,
        after=after,
        pair_accuracy=fitted.accuracy,
        iterations=iterations,
    )


def prompts_digest(config: Config) -> str:
    """Digest of the prompts, trained on and held out; all else that a run learns from follows from its settings."""
    prompts = stages.split_openings(config)
    return data_digest(prompts["train"], prompts["test"][: config.held_out])


def world_of(
    config: Config, gold: GoldReward, pairs: list[Preference], fitted: stages.Fitted, tokenizer: object
) -> World:
    """What PPO needs of the stages."""
    opinions = [opinion for pair in of_split(pairs, "train") for opinion in (pair.gold_a, pair.gold_b)]
    prompts = stages.split_openings(config)
    return World(
        gold=gold,
        gold_mean=statistics.mean(opinions),
        gold_scale=statistics.stdev(opinions),
        reward=fitted.model,
        pair_accuracy=fitted.accuracy,
        tokenizer=tokenizer,
        train=prompts["train"],
        test=prompts["test"][: config.held_out],
    )


def held_out(config: Config, policy: Policy, world: World, *, reference: bool = False) -> Judged:
    """The policy, or the reference, on the test prompts."""
    return judge(
        policy,
        world.tokenizer,
        world.test,
        world.reward,
        world.gold,
        tokens=config.tokens,
        seed=config.seed,
        reference=reference,
    )


def keep_samples(run: Run, step: int, prompts: list[str], before: Judged, after: Judged) -> None:
    """Write and seal held_out/samples.jsonl: each held-out prompt with both responses and what was thought of them."""
    lines = []
    for row, prompt in enumerate(prompts):
        sides = {
            name: {"response": judged.responses[row], "gold": judged.gold[row], "proxy": judged.proxy[row]}
            for name, judged in (("before", before), ("after", after))
        }
        lines.append(json.dumps({"prompt": prompt, **sides}, ensure_ascii=False, allow_nan=False))
    with run.sealed("held_out", step) as folder:
        write_text(folder / "samples.jsonl", "\n".join(lines) + "\n")


def train(config: Config, policy: Policy, world: World, run: Run) -> int:
    """PPO until the last round. Returns the rounds done.

    Raises:
        UserError: If the policy diverges: the last checkpoint stays.
    """
    optimizer = AdamW(parameter_groups(config, policy), weight_decay=0.0)
    control = ppo.KLControl(beta=config.beta, target=config.kl_target, horizon=config.horizon)
    if run.checkpoint:
        control.beta = run.restore(lambda tensors: stages.load_trainable(policy, tensors), optimizer)["beta"]
    rounds = range(run.step + 1, config.iterations + 1)
    batches = prompt_batches(world.train, config.prompts, config.seed, run.step)
    for iteration in track(rounds, description=run.directory.name, total=config.iterations, done=run.step):
        logged = one_round(config, policy, world, optimizer, control, next(batches), iteration)
        run.log(iteration, **logged)
        refuse_explosion(config, run, logged["kl"], iteration)
        if iteration % config.save_every == 0 or iteration == config.iterations:
            run.save(iteration, trainable_state(policy), optimizer=optimizer, extra={"beta": control.beta})
            run.keep_checkpoints(iteration)
    return config.iterations


def parameter_groups(config: Config, policy: Policy) -> list[dict[str, object]]:
    """A rate for the adapters and one for the value head."""
    rates = {
        "value": (lambda name: name.startswith("value_head."), config.value_lr),
        "adapters": (lambda name: "lora_" in name, config.lr),
    }
    return optim.parameter_groups(policy, rates)


def one_round(
    config: Config,
    policy: Policy,
    world: World,
    optimizer: AdamW,
    control: ppo.KLControl,
    texts: list[str],
    iteration: int,
) -> dict[str, float]:
    """Sample, score, update, steer β. Returns what to log."""
    prompts = Prompts(world.tokenizer, texts)
    played = play(policy, prompts, world.reward, tokens=config.tokens, size=config.minibatch)
    kl, gold = divergence(played), world.gold(texts, played.responses).total.mean().item()
    beta = control.beta
    started = time.perf_counter()
    updated = ppo.update(
        lambda rows: policy(played.sequences.rows(rows)),
        optimizer,
        played.experience,
        beta=beta,
        settings=config.settings,
        generator=generator(config.seed, iteration),
    )
    control.update(kl, len(texts))
    sampling, scoring = played.seconds
    return {
        "proxy": played.experience.scores.mean().item(),
        "gold": gold,
        "gold_gain": (gold - world.gold_mean) / world.gold_scale,
        "kl": kl,
        "beta": beta,
        "tokens": played.experience.mask.sum(1).float().mean().item(),
        "distinct_2": distinct(played.responses, 2),
        "seconds_sampling": sampling,
        "seconds_scoring": scoring,
        "seconds_updating": time.perf_counter() - started,
        **updated,
    }


def divergence(played: Round) -> float:
    """Estimated divergence a response, in nats: the mean over responses of Σ log π − log π_ref."""
    experience = played.experience
    return torch.where(experience.mask, experience.logprobs - experience.reference, 0).sum(1).mean().item()


def refuse_explosion(config: Config, run: Run, kl: float, iteration: int) -> None:
    """Stop where the policy has left the language.

    Raises:
        UserError: If the divergence is beyond the limit; names the last checkpoint.
    """
    if kl > config.kl_limit:
        kept = latest_checkpoint(run.directory)
        raise UserError(
            f"the divergence reached {kl:.1f} nats a response at round {iteration} (--kl_limit {config.kl_limit:g}): "
            f"training stopped; raise --beta or lower --lr. Last checkpoint: {kept.name if kept else 'none'}"
        )


def summary(prefix: str, judged: Judged) -> dict[str, float]:
    """Means to log."""
    return {
        f"{prefix}_gold": stages.mean(judged.gold),
        f"{prefix}_proxy": stages.mean(judged.proxy),
        f"{prefix}_kl": stages.mean(judged.kl),
        f"{prefix}_distinct_2": distinct(judged.responses, 2),
        f"{prefix}_words": stages.mean(judged.words),
    }


def report(metrics: Metrics) -> None:
    """Print what a run came to."""
    rows = [
        (name, *(f"{value:.3f}" for value in summary("x", judged).values()))
        for name, judged in (("reference", metrics.before), ("after PPO", metrics.after))
    ]
    table(str(metrics.directory), ["policy", "gold", "proxy", "KL, nats", "distinct-2", "words"], rows)


if __name__ == "__main__":
    command(lambda config: report(main(config)), Config)
