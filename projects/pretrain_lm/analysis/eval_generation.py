"""Paragraphs by every way of sampling, how varied they are, and how coherent: the frontier between the two.

python -m projects.pretrain_lm.analysis.eval_generation --run runs/pretrain_lm/results/news-seed0

Prompts are the openings of test articles; the articles' own continuations are measured beside what the model writes.
"""

# b texts · t time · d width

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from projects.pretrain_lm.analysis import plots
from projects.pretrain_lm.data.tokenizer import CorpusTokenizer
from projects.pretrain_lm.evaluate import distinct, repetition, self_bleu
from projects.pretrain_lm.models.sampling import Sampling, generate
from projects.pretrain_lm.models.transformer_lm import TransformerLM
from projects.pretrain_lm.ngram import documents_of
from projects.pretrain_lm.train_pretrain import load_run
from shared import checks, devices
from shared.assets import load_causal_lm, load_encoder
from shared.errors import UserError, command
from shared.files import refuse_unwritable, write_text
from shared.progress import table, track
from shared.report import write_csv
from shared.seeding import generator

WAYS: dict[str, Sampling] = {
    "greedy": Sampling(temperature=0.0),
    "temperature 0.6": Sampling(temperature=0.6),
    "temperature 0.8": Sampling(temperature=0.8),
    "temperature 1": Sampling(),
    "temperature 1.3": Sampling(temperature=1.3),
    "top-k 5": Sampling(top_k=5),
    "top-k 20": Sampling(top_k=20),
    "top-k 100": Sampling(top_k=100),
    "top-p 0.5": Sampling(top_p=0.5),
    "top-p 0.8": Sampling(top_p=0.8),
    "top-p 0.95": Sampling(top_p=0.95),
}
ARTICLES = "the articles themselves"
SHOWN = ("greedy", "top-k 20", "top-p 0.8", "temperature 1.3")


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """Write paragraphs from the openings of test articles and measure them."""

    run: Path = Path("runs/pretrain_lm/results/news-seed0")
    """A finished run of a causal model."""
    prompts: int = 12
    """Articles whose openings are continued, at most."""
    prompt_tokens: int = 16
    """Tokens of an opening."""
    new_tokens: int = 80
    """Tokens to generate, 50 to 100 for a short paragraph."""
    seed: int = 0
    """Seeds the sampling."""
    out: Path = Path("runs/pretrain_lm/generation")
    """Where frontier.csv, samples.md and the figures go."""

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        checks.at_least(self, 2, "prompts", "prompt_tokens", "new_tokens")


@dataclass
class Continuations:
    """Texts that go on from the same openings.

    Attributes:
        prompts: Text of each opening.
        ids: Tokens behind it, all of the same number.
        texts: The same as text.
    """

    prompts: list[str]
    ids: list[list[int]]
    texts: list[str] = field(default_factory=list)


def main(config: GenerationConfig) -> list[dict[str, Any]]:
    """Write paragraphs by every way of sampling, and measure diversity and coherence. Returns a row a way."""
    refuse_unwritable(config.out)
    devices.use_all_cores()
    trained, model, tokenizer = load_run(config.run)
    prompts, articles = held_out_prompts(config, trained.cleaning.out, tokenizer)
    written = {ARTICLES: articles}
    for way, sampling in track(WAYS.items(), description="writing", total=len(WAYS)):
        written[way] = continuations(model, tokenizer, prompts, config, sampling)
    judge = Judge()
    rows = [
        {"way": way, **diversity(some, config.new_tokens), **judge(some)}
        for way, some in track(written.items(), description="reading", total=len(written))
    ]
    write_csv(config.out / "frontier.csv", rows)
    write_text(config.out / "samples.md", samples_markdown(written))
    plots.frontier(rows, config.out)
    show(rows)
    for sample in samples_markdown(written, 1).split("\n>\n"):
        sys.stdout.write(f"{sample.strip().removeprefix('> ')}\n\n")
    sys.stdout.write(f"All measures and figures: {config.out}\n")
    return rows


def held_out_prompts(
    config: GenerationConfig, corpus: Path, tokenizer: CorpusTokenizer
) -> tuple[list[list[int]], Continuations]:
    """The first tokens of test articles, and how the articles themselves go on.

    Raises:
        UserError: If there are too few articles that are long enough.
    """
    start, needed = config.prompt_tokens + 1, config.prompt_tokens + config.new_tokens + 1  # the end token is in front
    long = (document for document in documents_of(corpus, "test") if len(document) > needed)
    documents = list(islice(long, config.prompts))
    if len(documents) < 2:  # self-BLEU compares texts
        raise UserError(
            f"{len(documents)} test documents have more than {needed} tokens: lower --new_tokens, or bring more text"
        )
    prompts = [document[:start] for document in documents]
    ids = [document[start:needed] for document in documents]
    return prompts, Continuations(list(map(tokenizer.decode, prompts)), ids, list(map(tokenizer.decode, ids)))


def continuations(
    model: TransformerLM,
    tokenizer: CorpusTokenizer,
    prompts: list[list[int]],
    config: GenerationConfig,
    sampling: Sampling,
) -> Continuations:
    """One continuation of each prompt; the end token is suppressed, so that all have one length."""
    ids = generate(
        model,
        torch.tensor(prompts),
        new_tokens=config.new_tokens,
        sampling=sampling,
        generator=generator(config.seed, 7),
        suppressed=(tokenizer.pad_id, tokenizer.mask_id, tokenizer.end_id),
    ).tolist()
    return Continuations(list(map(tokenizer.decode, prompts)), ids, list(map(tokenizer.decode, ids)))


def diversity(written: Continuations, length: int) -> dict[str, float]:
    """Diversity between texts and repetition inside them."""
    measured = {
        "distinct_1": distinct(written.ids, 1, length),
        "distinct_2": distinct(written.ids, 2, length),
        "self_bleu": self_bleu([text.split() for text in written.texts]),
        "repetition_4": sum(repetition(ids) for ids in written.ids) / len(written.ids),
    }
    return {name: round(value, 4) for name, value in measured.items()}


class Judge:
    """Coherence by two models that learned from far more text than ours."""

    def __init__(self) -> None:
        self.encoder = load_encoder("minilm", max_length=256)
        self.language_model = load_causal_lm("smollm2")

    def __call__(self, written: Continuations) -> dict[str, float]:
        """Similarity of prompt and continuation, and the continuation's perplexity given the prompt."""
        prompts, texts = (embed(*self.encoder, some) for some in (written.prompts, written.texts))
        similarity = (prompts * texts).sum(1).mean().item()
        return {
            "similarity": round(similarity, 4),
            "perplexity": round(perplexity(*self.language_model, written), 2),
        }


@torch.inference_mode()
def embed(model: nn.Module, tokenizer: Any, texts: Sequence[str]) -> Float[Tensor, "b d"]:
    """Unit vectors: the mean of the last hidden states.

    Source: Reimers and Gurevych 2019, "Sentence-BERT", §3.
    """
    batch = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
    hidden = model(**batch).last_hidden_state  # (b,t,d)
    mask = batch["attention_mask"].unsqueeze(-1)
    return F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)


@torch.inference_mode()
def perplexity(model: nn.Module, tokenizer: Any, written: Continuations) -> float:
    """exp(Σ NLL / Σ tokens) of all continuations, each given its prompt."""
    summed, count = 0.0, 0
    for prompt, text in zip(written.prompts, written.texts, strict=True):
        before = tokenizer(prompt)["input_ids"]
        ids = torch.tensor([before + tokenizer(text, add_special_tokens=False)["input_ids"]])
        logits = model(input_ids=ids).logits[0, len(before) - 1 : -1]
        summed += F.cross_entropy(logits.float(), ids[0, len(before) :], reduction="sum").item()
        count += ids.shape[1] - len(before)
    return float(torch.tensor(summed / count).exp())


def samples_markdown(written: dict[str, Continuations], count: int = 2) -> str:
    """The first continuations of some ways of sampling, unedited but for line ends."""
    lines = []
    for place in range(count):
        opening = " ".join(written[ARTICLES].prompts[place].split())
        for way in SHOWN:
            if way in written:
                lines.append(f"> **{opening}** {' '.join(written[way].texts[place].split())} *({way})*")
    return "\n>\n".join(lines) + "\n"


def show(rows: list[dict[str, Any]]) -> None:
    """Print a row a way."""
    columns = [name.replace("_", "-") for name in rows[0]]
    table(
        "Diversity and coherence",
        columns,
        [[row["way"], *(f"{v:.3f}" for v in list(row.values())[1:])] for row in rows],
    )


if __name__ == "__main__":
    command(main, GenerationConfig)
