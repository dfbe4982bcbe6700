"""What a policy is worth on films that training never saw: pairs put right, gold reward, divergence, news as the tax.

Nothing here trains, and nothing that training reads is read here but the policy's own checkpoint.
"""

# k pairs · n texts · s tokens

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from projects.ppo_dpo_orpo.config import Config
from projects.ppo_dpo_orpo.losses import masked_sum
from projects.ppo_dpo_orpo.policies import Answer, Policy, collate
from projects.ppo_dpo_orpo.prepare import Encoded, Prepared, rate
from projects.ppo_dpo_orpo.train_preference import TIE, margins
from shared.assets import news
from shared.progress import track
from shared.runs import verified_tensors
from shared.tensors import load_trainable, trainable_state

AT_ONCE = 48
NEWS_TEXTS, NEWS_TOKENS = 16, 64
Item = tuple[dict[str, float], dict[str, Any]]


def load_checkpoint(policy: Policy, checkpoint: Path) -> Policy:
    """Put a verified checkpoint's adapters into a policy."""
    tensors = verified_tensors(checkpoint)
    load_trainable(policy, {name: tensors[name] for name in trainable_state(policy)})
    return policy


def answer(policy: Policy, prepared: Prepared, *, tokens: int, seed: int, greedy: bool = False) -> Iterator[Item]:
    """A response to each held-out prompt and what is thought of it, from generators of its own.

    Numbers of a response: both judges' scores, the exact divergence from the reference in nats, its words and tokens,
    and its entropy a token (how free the choice still was).
    """
    prompts = prepared.tokenizer([pair.text for pair in prepared.prompts], add_special_tokens=False)["input_ids"]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        starts = range(0, len(prompts), AT_ONCE)
        answers: list[Answer] = []
        for start in track(starts, description="held-out prompts", total=len(starts)):
            part = prompts[start : start + AT_ONCE]
            answers += policy.sample(part, tokens=tokens, ends=prepared.ends, greedy=greedy)
    texts = [prepared.tokenizer.decode(each.response, skip_special_tokens=True) for each in answers]
    whole = [pair.opening + text for pair, text in zip(prepared.prompts, texts, strict=True)]
    scores = [rate(judge, whole) for judge in (prepared.judges.gold, prepared.judges.proxy)]
    found = zip(prepared.prompts, answers, texts, *scores, divergences(policy, prepared, answers), strict=True)
    for pair, each, text, gold, proxy, kl in found:
        numbers = {"gold": gold, "proxy": proxy, "kl": kl, "words": len(text.split()), "tokens": len(each.response)}
        kept = {"film": pair.group, "prompt": pair.text, "response": text, "repeated": 1 - distinct([text], 2)}
        yield {**numbers, "repeated": kept["repeated"]}, kept


@torch.no_grad()
def divergences(policy: Policy, prepared: Prepared, answers: Sequence[Answer]) -> list[float]:
    """Exact KL(π‖π_ref) along each response, in nats."""
    found: list[float] = []
    for start in range(0, len(answers), 16):
        batch = policy.lower(collate(answers[start : start + 16], prepared.tokenizer.pad_token_id))
        found += policy.exact_kl(batch).tolist()
    return found


def pair_items(config: Config, policy: Policy, prepared: Prepared) -> Iterator[Item]:
    """Whether the policy puts each test pair right, by how much, and how sure the judge was."""
    test = prepared.encoded["test"]
    found = margins(config, policy, test, prepared.tokenizer.pad_token_id).tolist()
    for pair, margin in zip(test.pairs, found, strict=True):
        half = 0.5 if abs(margin) < TIE else float(margin > 0)
        yield {"right": half, "margin": margin, "judge_margin": pair.margin}, {"film": pair.group}


@torch.no_grad()
def news_nats(policy: Policy, prepared: Prepared) -> Iterator[Item]:
    """Mean nats a token of news, which have nothing to do with films: what the alignment costs elsewhere (its tax)."""
    texts = list(news()["test"]["text"])[:NEWS_TEXTS]
    for start in range(0, len(texts), 8):
        ids = prepared.tokenizer(texts[start : start + 8], add_special_tokens=False)["input_ids"]
        batch = policy.lower(collate([Answer(each[:1], each[1:NEWS_TOKENS]) for each in ids], 0))
        nats = masked_sum(policy.logprobs(batch), batch.mask) / batch.mask.sum(1)
        yield from (({"nats": -one}, {}) for one in nats.tolist())


def distinct(texts: Sequence[str], size: int) -> float:
    """Distinct runs of `size` words over all runs, in all texts together: it falls with the number of texts.

    Source: Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models", §5.
    """
    runs = [tuple(words[i : i + size]) for words in map(str.split, texts) for i in range(len(words) - size + 1)]
    return len(set(runs)) / len(runs) if runs else 0.0


# ---------------------------------------------------------------- baselines that see no method


def longer_right(encoded: Encoded) -> Float[Tensor, " k"]:
    """What length alone would say of each pair: 1 if the chosen response has more words, ½ if as many."""
    gaps = [len(pair.chosen.split()) - len(pair.rejected.split()) for pair in encoded.pairs]
    return torch.tensor([0.5 if gap == 0 else float(gap > 0) for gap in gaps])


def likelier_right(encoded: Encoded) -> Float[Tensor, " k"]:
    """What ORPO begins from: for each pair 1 if the start finds the chosen response likelier a token."""
    lengths = torch.tensor([[len(answer.response) for answer in both] for both in encoded.answers])
    means = encoded.reference / lengths
    return (means[:, 0] > means[:, 1]).float()


def features(encoded: Encoded) -> Float[Tensor, "k d"]:
    """Difference of the two responses' mean states, as the frozen lower layers give them."""
    rows = []
    for both in encoded.answers:
        means = []
        for each in both:
            assert each.states is not None, "prepared"
            means.append(each.states[len(each.prompt) :].mean(0))
        rows.append(means[0] - means[1])
    return torch.stack(rows)


def probe_right(prepared: Prepared, decays: Sequence[float] = (1e-1, 1.0, 1e1, 1e2, 1e3)) -> Float[Tensor, " k"]:
    """Whether a linear probe on the model's own states puts each test pair right: the honest ceiling.

    Logistic regression without an intercept on standardised differences; validation pairs choose its decay.
    """
    train, validation, test = (features(prepared.encoded[split]) for split in ("train", "validation", "test"))
    scale = train.std(0).clamp(min=1e-6)
    fits = [fit_probe(train / scale, decay) for decay in decays]
    best = max(fits, key=lambda weights: float(((validation / scale) @ weights > 0).float().mean()))
    return ((test / scale) @ best > 0).float()


def fit_probe(x: Float[Tensor, "k d"], decay: float, steps: int = 30) -> Float[Tensor, " d"]:
    """Minimise Σ log(1 + e^(−w·x)) + decay/2 |w|² by Newton's method, in double precision."""
    x, weights = x.double(), torch.zeros(x.shape[1], dtype=torch.float64)
    for _ in range(steps):
        p = torch.sigmoid(-x @ weights)
        gradient = -(x * p[:, None]).sum(0) + decay * weights
        hessian = (x * (p * (1 - p))[:, None]).T @ x + decay * torch.eye(x.shape[1], dtype=torch.float64)
        move = torch.linalg.solve(hessian, gradient)
        weights = weights - move
        if move.norm() < 1e-9:
            break
    return weights.float()


# ---------------------------------------------------------------- comparisons


def length_controlled(gains: Sequence[float], words: Sequence[float]) -> float:
    """The gain where the response is as long as the reference's: intercept of gain on difference of words.

    Source: the idea of Dubois et al. 2024, "Length-Controlled AlpacaEval", as a linear regression.
    """
    x, y = np.asarray(words, dtype=float), np.asarray(gains, dtype=float)
    if np.ptp(x) == 0:
        return float(y.mean())
    slope = float(np.cov(x, y, bias=True)[0, 1] / x.var())
    return float(y.mean() - slope * x.mean())


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order, adjusted, largest = np.argsort(p_values), [0.0] * len(p_values), 0.0
    for place, row in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[row]))
        adjusted[row] = largest
    return adjusted


def two_way_bootstrap(values: Float[np.ndarray, "r k"], draws: int = 10_000) -> tuple[float, float, float, float]:
    """Mean of a table of seeds × prompts with its 95 % interval and two-sided p, both resampled with replacement.

    Returns:
        mean, low, high, p.
    """
    rows, columns = values.shape
    source = np.random.default_rng(0)
    weights_r = source.multinomial(rows, [1 / rows] * rows, size=draws) / rows
    weights_c = source.multinomial(columns, [1 / columns] * columns, size=draws) / columns
    means = np.einsum("nr,rk,nk->n", weights_r, values, weights_c)
    low, high = np.percentile(means, [2.5, 97.5])
    p = min(1.0, 2 * min((np.sum(means <= 0) + 1) / (draws + 1), (np.sum(means >= 0) + 1) / (draws + 1)))
    return float(values.mean()), float(low), float(high), float(p)


def commonest(texts: Sequence[str], size: int = 3) -> tuple[str, int]:
    """The run of words that most texts share, and in how many: what a collapsed policy says everywhere."""
    counts = Counter(run for text in texts for run in {" ".join(w) for w in _runs(text.split(), size)})
    return counts.most_common(1)[0] if counts else ("", 0)


def _runs(words: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (words[i : i + size] for i in range(len(words) - size + 1))


def summary(items: Sequence[Item]) -> dict[str, float]:
    """Means of a policy's answers, and their pooled distinct-2."""
    means = {name: fmean(numbers[name] for numbers, _ in items) for name in items[0][0]}
    return {**means, "distinct_2": distinct([kept["response"] for _, kept in items], 2)}
