"""The arms that are compared, and from a configuration to what it describes: corpus, model, groups, optimizer."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adafactor, AdamW, Optimizer
from transformers import PreTrainedTokenizerFast

from projects.adapters.config import Config
from projects.adapters.data import Corpus, load_corpus
from projects.adapters.hooks.forward_hooks import SLOT, exempt, freeze, matching, register_adapters
from projects.adapters.models.adapter import KINDS, Adapter
from projects.adapters.models.transformer_base import (
    SelfAttention,
    SequenceClassifier,
    TokenClassifier,
    TransformerEncoder,
    encoder_from_bert,
)
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
"""What each arm is told."""
OF_THE_DATA = ("model", "max_length", "dataset", "limit", "batch_size", "text_column", "label_column")


def read_encoder(config: Config) -> tuple[TransformerEncoder, PreTrainedTokenizerFast]:
    """Our encoder with the pretrained weights, or of the same size with random ones; and the tokenizer."""
    bert, tokenizer = load_encoder(config.model, max_length=config.max_length)
    encoder = encoder_from_bert(bert)
    return (encoder if config.pretrained else TransformerEncoder(encoder.size)), tokenizer


def read_corpus(config: Config, tokenizer: PreTrainedTokenizerFast) -> Corpus:
    """The configuration's dataset, tokenised."""
    return load_corpus(
        config.dataset,
        tokenizer,
        max_length=config.max_length,
        limit=config.limit,
        text_column=config.text_column,
        label_column=config.label_column,
    )


def corpus_digest(config: Config) -> str:
    """Digest of the texts and labels that a configuration learns from."""
    return _digest(Config(**{name: getattr(config, name) for name in OF_THE_DATA}))


@cache
def _digest(config: Config) -> str:
    return read_corpus(config, read_encoder(config)[1]).digest()


def build(config: Config, encoder: TransformerEncoder, classes: int, *, tagging: bool) -> nn.Module:
    """The model with exactly the parameters trainable that the configuration trains."""
    model = (TokenClassifier if tagging else SequenceClassifier)(encoder, classes)
    if config.adapter_type == "lora":
        inject_peft(config, encoder)
        return model
    if config.adapted:
        register_adapters(encoder, config.targets, adapter_maker(config, encoder.size.width))
    if config.freeze_base:
        freeze(encoder)
        if config.adapted and config.train_norms:
            for name in matching(encoder, NORMS):
                exempt(encoder.get_submodule(name))
    return model


def adapter_maker(config: Config, width: int) -> Callable[[str], Adapter]:
    """What `register_adapters` calls for each module."""

    def make(_: str) -> Adapter:
        return KINDS[config.adapter_type](
            width,
            config.bottleneck,
            init=config.init,
            down_init=config.down_init,
            dropout=config.dropout,
            scale=config.scale,
        )

    return make


def inject_peft(config: Config, encoder: nn.Module) -> None:
    """LoRA by the PEFT library on every linear layer, for comparison; the frozen base has no dropout there either."""
    import peft

    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, SelfAttention):
            module.attention_dropout = 0.0
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
    rates = {
        "adapter": (lambda name: f".{SLOT}." in name or ".lora_" in name, config.lr),
        "norms": (lambda name: "norm." in name, config.lr),
        "head": (lambda name: name.startswith("head."), config.head_lr),
        "encoder": (lambda name: name.startswith("encoder."), config.lr),
    }
    groups = optim.parameter_groups(model, rates, weight_decay=config.weight_decay)
    decayed = "encoder" if config.adapter_type == "none" else "adapter"
    return [group if group["name"] == decayed else {**group, "weight_decay": 0.0} for group in groups]


@torch.no_grad()
def copy_trainable(model: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Copy saved values into the trainable parameters of the same names."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.copy_(tensors[name])
