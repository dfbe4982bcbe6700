"""Prompts: the first words of film reviews, split so that no review and no opening is in two splits."""

from collections.abc import Mapping

from datasets import Dataset

from projects.rlhf_ppo.data.preferences import Split, openings
from shared.errors import UserError
from shared.fingerprint.origin import data_digest

Reviews = Mapping[str, Dataset]
"""Film reviews by split: columns text and score, the raters' mean."""
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def split_prompts(reviews: Reviews, words: int) -> dict[Split, list[str]]:
    """Prompts of so many words, of each split."""
    seen: set[str] = set()
    prompts: dict[Split, list[str]] = {}
    for split in SPLITS:
        found = openings(list(reviews[split]["text"]), words)
        prompts[split] = [prompt for prompt in found if prompt not in seen]
        seen.update(prompts[split])
    return prompts


def require_texts(
    reviews: Reviews, prompts: dict[Split, list[str]], *, gold_texts: int | None, words: int, batch: int
) -> None:
    """Check that there are as many reviews and prompts as were asked for.

    Raises:
        UserError: If there are fewer.
    """
    if gold_texts is not None and gold_texts > len(reviews["train"]):
        raise UserError(f"--gold_texts {gold_texts}: there are {len(reviews['train'])}")
    if len(prompts["train"]) < batch or not all(prompts.values()):
        raise UserError(
            f"--prompt_words {words}: leaves {len(prompts['train'])} prompts for training and "
            f"{len(prompts['test'])} held out, too few for --prompts {batch}"
        )


def prompts_digest(prompts: dict[Split, list[str]], held_out: int) -> str:
    """Digest of the prompts, trained on and held out; all else that a run learns from follows from its settings."""
    return data_digest(prompts["train"], prompts["test"][:held_out])
