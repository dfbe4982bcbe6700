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
from projects.pretrain_lm.data.vocabulary import Vocabulary
from projects.pretrain_lm.evaluate import distinct, repetition, self_bleu
from projects.pretrain_lm.models.sampling import Sampling, generate
from projects.pretrain_lm.models.transformer_lm import TransformerLM
from projects.pretrain_lm.ngram import documents_of
from projects.pretrain_lm.train_pretrain import load
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
    opening: int = 16
    """Tokens of a prompt."""
    tokens: int = 80
    """To write, 50 to 100 for a short paragraph."""
    seed: int = 0
    """Of the sampling."""
    out: Path = Path("runs/pretrain_lm/generation")
    """Where frontier.csv, samples.md and the figure go."""

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        checks.at_least(self, 2, "prompts", "opening", "tokens")


@dataclass
class Texts:
    """What was written in one way.

    Attributes:
        prompts: Text of each opening.
        ids: Tokens behind it, all of the same number.
        written: The same as text.
    """

    prompts: list[str]
    ids: list[list[int]]
    written: list[str] = field(default_factory=list)


def main(config: GenerationConfig) -> list[dict[str, Any]]:
    """Write paragraphs by every way of sampling, and measure diversity and coherence. Returns a row a way."""
    refuse_unwritable(config.out)
    devices.use_all_cores()
    trained, model, vocabulary = load(config.run)
    openings, articles = openings_of(config, trained.cleaning.out, vocabulary)
    texts = {ARTICLES: articles}
    for way, how in track(WAYS.items(), description="writing", total=len(WAYS)):
        texts[way] = write(model, vocabulary, openings, config, how)
    judge = Judge()
    rows = [
        {"way": way, **measures(some, config.tokens), **judge(some)}
        for way, some in track(texts.items(), description="reading", total=len(texts))
    ]
    write_csv(config.out / "frontier.csv", rows)
    write_text(config.out / "samples.md", samples_markdown(texts))
    plots.frontier(rows, config.out)
    show(rows)
    for sample in samples_markdown(texts, 1).split("\n>\n"):
        sys.stdout.write(f"{sample.strip().removeprefix('> ')}\n\n")
    sys.stdout.write(f"All measures and figures: {config.out}\n")
    return rows


def openings_of(config: GenerationConfig, corpus: Path, vocabulary: Vocabulary) -> tuple[list[list[int]], Texts]:
    """The first tokens of test articles, and how these go on.

    Raises:
        UserError: If there are too few articles that are long enough.
    """
    needed = config.opening + config.tokens + 1
    long = (document for document in documents_of(corpus, "test") if len(document) > needed)
    chosen = list(islice(long, config.prompts))
    if len(chosen) < 2:  # self-BLEU compares texts
        raise UserError(
            f"{len(chosen)} test documents have more than {needed} tokens: lower --tokens, or bring more text"
        )
    openings = [document[: config.opening + 1] for document in chosen]  # the end token stands in front
    ids = [document[config.opening + 1 : needed] for document in chosen]
    prompts = [vocabulary.decode(opening) for opening in openings]
    return openings, Texts(prompts, ids, [vocabulary.decode(each) for each in ids])


def write(
    model: TransformerLM, vocabulary: Vocabulary, openings: list[list[int]], config: GenerationConfig, how: Sampling
) -> Texts:
    """One continuation of each opening; the end token is not written, so that all have one length."""
    ids = generate(
        model,
        torch.tensor(openings),
        tokens=config.tokens,
        how=how,
        generator=generator(config.seed, 7),
        never=(vocabulary.pad, vocabulary.mask, vocabulary.end),
    ).tolist()
    return Texts([vocabulary.decode(o) for o in openings], ids, [vocabulary.decode(each) for each in ids])


def measures(texts: Texts, length: int) -> dict[str, float]:
    """Diversity between texts and repetition inside them."""
    words = [text.split() for text in texts.written]
    found = {
        "distinct_1": distinct(texts.ids, 1, length),
        "distinct_2": distinct(texts.ids, 2, length),
        "self_bleu": self_bleu(words),
        "repetition_4": sum(repetition(ids) for ids in texts.ids) / len(texts.ids),
    }
    return {name: round(value, 4) for name, value in found.items()}


class Judge:
    """Coherence by two models that learned from far more text than ours."""

    def __init__(self) -> None:
        self.encoder = load_encoder("minilm", max_length=256)
        self.reader = load_causal_lm("smollm2")

    def __call__(self, texts: Texts) -> dict[str, float]:
        """Similarity of opening and continuation, and the continuation's perplexity behind the opening."""
        prompts, written = (embed(*self.encoder, some) for some in (texts.prompts, texts.written))
        similarity = (prompts * written).sum(1).mean().item()
        return {"similarity": round(similarity, 4), "perplexity": round(perplexity(*self.reader, texts), 2)}


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
def perplexity(model: nn.Module, tokenizer: Any, texts: Texts) -> float:
    """exp(Σ NLL / Σ tokens) of all continuations, each read behind its opening."""
    summed, count = 0.0, 0
    for prompt, written in zip(texts.prompts, texts.written, strict=True):
        before = tokenizer(prompt)["input_ids"]
        ids = torch.tensor([before + tokenizer(written, add_special_tokens=False)["input_ids"]])
        scores = model(input_ids=ids).logits[0, len(before) - 1 : -1]
        summed += F.cross_entropy(scores.float(), ids[0, len(before) :], reduction="sum").item()
        count += ids.shape[1] - len(before)
    return float(torch.tensor(summed / count).exp())


def samples_markdown(texts: dict[str, Texts], count: int = 2) -> str:
    """The first continuations of some ways, unedited but for line ends."""
    lines = []
    for place in range(count):
        opening = " ".join(texts[ARTICLES].prompts[place].split())
        for way in SHOWN:
            if way in texts:
                lines.append(f"> **{opening}** {' '.join(texts[way].written[place].split())} *({way})*")
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
