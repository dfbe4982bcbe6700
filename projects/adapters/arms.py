"""The arms that are compared, and from a configuration to what it describes: corpus, model, groups, optimizer."""

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import Any

from torch import nn
from torch.optim import SGD, Adafactor, AdamW, Optimizer
from transformers import PreTrainedTokenizerFast

from projects.adapters.config import Config, DataConfig
from projects.adapters.data import load_corpus
from projects.adapters.hooks.forward_hooks import SUBMODULE, freeze, keep_trainable, match_modules, register_adapters
from projects.adapters.models.adapter import KINDS, Adapter
from projects.adapters.models.transformer_base import (
    SequenceClassifier,
    TokenClassifier,
    TransformerEncoder,
    encoder_from_bert,
)
from projects.adapters.peers import LibraryBert, add_library_adapters, turn_dropout_off
from shared import optim
from shared.assets import load_encoder

# The linear layers of a block, for PEFT's LoRA.
LINEAR = ("query", "key", "value", "attention.output", "feed_forward.up", "feed_forward.down")
NORMS = "blocks.*.*_norm"
LORA_RANK = 15  # the smallest rank with at least as many parameters as the adapters: 622,080 beside 595,200 (and norms)
ARMS: dict[str, dict[str, Any]] = {
    "bottleneck": {"adapter_type": "bottleneck", "bottleneck": 64},
    "parallel": {"adapter_type": "parallel", "bottleneck": 64, "scale": 4.0},
    "lora": {"adapter_type": "lora", "bottleneck": LORA_RANK},
    "full": {"adapter_type": "none", "freeze_base": False},
    "scratch": {"adapter_type": "none", "freeze_base": False, "pretrained": False},
}
"""Settings of each arm."""


def load_base(config: Config) -> tuple[TransformerEncoder, PreTrainedTokenizerFast]:
    """The encoder that an arm starts from, pretrained or of the same shapes with random weights; and its tokenizer."""
    bert, tokenizer = load_encoder(config.model, max_length=config.max_length)
    if config.arm == "peer":
        return LibraryBert(bert), tokenizer
    encoder = encoder_from_bert(bert)
    return (encoder if config.pretrained else TransformerEncoder(encoder.config)), tokenizer


def data_digest(config: Config) -> str:
    """Digest of the texts and labels that a configuration learns from."""
    return _data_digest(DataConfig(**{field.name: getattr(config, field.name) for field in fields(DataConfig)}))


@cache
def _data_digest(config: DataConfig) -> str:
    tokenizer = load_encoder(config.model, max_length=config.max_length)[1]
    return load_corpus(config, tokenizer).digest()


def build_model(config: Config, encoder: TransformerEncoder, classes: int, *, tagging: bool) -> nn.Module:
    """The classifier of texts or words, with exactly the parameters trainable that the configuration trains."""
    if config.arm == "peer":
        add_library_adapters(config, encoder)
    model = (TokenClassifier if tagging else SequenceClassifier)(encoder, classes)
    if config.adapter_type == "lora":
        add_peft_lora(config, encoder)
    elif config.arm != "peer":
        add_adapters(config, encoder)
    return model


def add_adapters(config: Config, encoder: TransformerEncoder) -> None:
    """Hook our adapters to the encoder if the configuration asks for them, and freeze what it does not train."""
    if config.adapted:
        register_adapters(encoder, config.targets, adapter_factory(config, encoder.config.hidden_size))
    if config.freeze_base:
        freeze(encoder)
        if config.adapted and config.train_norms:
            for name in match_modules(encoder, NORMS):
                keep_trainable(encoder.get_submodule(name))


def adapter_factory(config: Config, hidden_size: int) -> Callable[[str], Adapter]:
    """What `register_adapters` calls for each module."""

    def make_adapter(_: str) -> Adapter:
        return KINDS[config.adapter_type](
            hidden_size,
            config.bottleneck,
            init=config.init,
            down_init=config.down_init,
            dropout=config.dropout,
            scale=config.scale,
        )

    return make_adapter


def add_peft_lora(config: Config, encoder: nn.Module) -> None:
    """LoRA by the PEFT library on every linear layer, for comparison; the frozen base has no dropout there either."""
    import peft

    turn_dropout_off(encoder)
    settings = peft.LoraConfig(
        r=config.bottleneck,
        lora_alpha=config.scale * config.bottleneck,
        lora_dropout=config.dropout,
        target_modules=list(LINEAR),
    )
    encoder.requires_grad_(False)
    peft.inject_adapter_in_model(settings, encoder)


def make_optimizer(config: Config, model: nn.Module) -> Optimizer:
    """The optimizer over the model's trainable parameters, each in exactly one group.

    AdamW and Adafactor decay weights apart from the gradient; SGD adds the decay to it.
    """
    groups = parameter_groups(config, model)
    if config.optimizer == "sgd":
        return SGD(groups, lr=config.lr, momentum=0.9)
    return (AdamW if config.optimizer == "adamw" else Adafactor)(groups, lr=config.lr)


def parameter_groups(config: Config, model: nn.Module) -> list[dict[str, object]]:
    """Adapters, norms, head and encoder with their rates. Decay goes to matrices of the adapters and nothing else.

    Where there are no adapters it goes to the encoder's matrices, as full fine-tuning is usually done: its absence
    would weaken what the adapters are compared with.
    """
    added = (f".{SUBMODULE}.", ".lora_", ".adapters.")  # ours, PEFT's and the library's
    rates = {
        "adapter": (lambda name: any(part in name for part in added), config.lr),
        "norms": (lambda name: "norm." in name, config.lr),
        "head": (lambda name: name.startswith("head."), config.head_lr),
        "encoder": (lambda name: name.startswith("encoder."), config.lr),
    }
    groups = optim.parameter_groups(model, rates, weight_decay=config.weight_decay)
    decayed = "encoder" if config.adapter_type == "none" else "adapter"
    return [group if group["name"] == decayed else {**group, "weight_decay": 0.0} for group in groups]
