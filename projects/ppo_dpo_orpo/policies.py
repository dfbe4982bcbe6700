"""The policy: a causal model whose upper third is moved by LoRA (PEFT) or by bottleneck adapters (ours).

The reference is the same network with its adapters off: one model in memory, not two. Since the lower layers are frozen
and their input never changes, what they give for a text is computed once and kept; a training step runs the upper third
only (`states`, `Policy.hidden`).
"""

# b sequences · s tokens of prompt and response, padded on the right · n real response tokens of a batch
# t = s − 1 predicted tokens
# d hidden size · m bottleneck · v vocabulary · p prompt tokens, padded on the left

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import peft
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.pytorch_utils import Conv1D

from shared.errors import UserError

Kind = Literal["lora", "adapter"]


class Bottleneck(nn.Module):
    """h + up(relu(down(h))), behind a block's feed-forward part and before its residual sum.

    The up-projection starts at zero, so that the policy starts as the reference to the bit.

    Source: Houlsby et al. 2019, figure 2, in the place of Pfeiffer et al. 2021 (one adapter a block).
    """

    def __init__(self, hidden_size: int, bottleneck: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(hidden_size, bottleneck), nn.Linear(bottleneck, hidden_size)
        nn.init.kaiming_normal_(self.down.weight, nonlinearity="relu")
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, h: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        """(b,s,d) -> (b,s,m) -> (b,s,d)."""
        return h + self.up(torch.relu(self.down(h)))


@dataclass(frozen=True)
class Batch:
    """Prompts with their responses.

    Attributes:
        input_ids: [prompt, response, padding].
        attention_mask: 1 on real tokens; it comes from lengths, since SmolLM2's padding is its end token.
        response_mask: 1 on the response's tokens, its end token included: only these have a loss.
        states: Input of the first upper layer; None until the lower layers have been asked.
    """

    input_ids: Int[Tensor, "b s"]
    attention_mask: Int[Tensor, "b s"]
    response_mask: Bool[Tensor, "b s"]
    states: Float[Tensor, "b s d"] | None = None

    def rows(self, chosen: Int[Tensor, " k"] | slice) -> "Batch":
        """Some of its sequences, padded as all are."""
        states = None if self.states is None else self.states[chosen]
        return Batch(self.input_ids[chosen], self.attention_mask[chosen], self.response_mask[chosen], states)

    @property
    def mask(self) -> Bool[Tensor, "b t"]:
        """1 where the token behind a place is one of the response's: the shape of all log-probabilities."""
        return self.response_mask[:, 1:]


@dataclass(frozen=True)
class Answer:
    """One prompt with one response, as token numbers, and what the lower layers give for it."""

    prompt: list[int]
    response: list[int]
    states: Float[Tensor, "s d"] | None = None


def collate(sequences: Sequence[Answer], pad: int) -> Batch:
    """Sequences as a batch, padded on the right to the longest of them."""
    longest = max(len(each.prompt) + len(each.response) for each in sequences)
    ids = torch.full((len(sequences), longest), pad)
    real, response = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
    for row, each in enumerate(sequences):
        tokens = torch.tensor(each.prompt + each.response)
        ids[row, : len(tokens)], real[row, : len(tokens)] = tokens, 1
        response[row, len(each.prompt) : len(tokens)] = True
    kept = [each.states for each in sequences if each.states is not None]
    states = None
    if len(kept) == len(sequences):
        states = torch.zeros(len(kept), longest, kept[0].shape[1])
        for row, one in enumerate(kept):
            states[row, : len(one)] = one
    return Batch(ids, real, response, states)


class Policy(nn.Module):
    """A causal model that is trained by its adapters.

    Attributes:
        language: The model, with PEFT's LoRA inside or with our adapters hooked in.
        cut: Number of lower layers, which nothing moves.
        adapters: Ours, one an upper layer; empty for LoRA.
        value_head: d → 1, zero at the start: only PPO has one.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        kind: Kind,
        *,
        size: int,
        upper: float = 1 / 3,
        values: bool = False,
    ) -> None:
        """Freeze the model and put adapters into its upper layers.

        Args:
            size: Rank of LoRA (its α is twice as much), or width of the bottleneck.
            upper: Share of the layers that get adapters, from the top.

        Raises:
            UserError: If the model's decoder is built in a way that is not known here.
        """
        super().__init__()
        self.kind = kind
        model.requires_grad_(False)
        decoder, attribute = decoder_of(model)
        layers = getattr(decoder, attribute)
        self.cut = len(layers) - max(1, round(upper * len(layers)))
        self.adapters = nn.ModuleList()
        self.enabled = True
        if kind == "lora":
            self.language = with_lora(model, layers[self.cut :], size)
        else:
            self.language = model
            for layer in layers[self.cut :]:
                self.adapters.append(Bottleneck(model.config.hidden_size, size))
                layer.mlp.register_forward_hook(self._hook(len(self.adapters) - 1))
        self.value_head = nn.Linear(model.config.hidden_size, 1) if values else None
        if self.value_head is not None:
            nn.init.zeros_(self.value_head.weight)
            nn.init.zeros_(self.value_head.bias)
        self._decoder: list[Any] = [decoder]  # in a list: it is no module of its own here
        self._attribute = attribute
        self.eval()

    def _hook(self, number: int) -> object:
        def add(_: nn.Module, __: object, out: Tensor) -> Tensor:
            adapted: Tensor = self.adapters[number](out) if self.enabled else out
            return adapted

        return add

    # ------------------------------------------------------------ forward

    @contextmanager
    def as_reference(self) -> Iterator[None]:
        """Inside the block, adapters are off: the model as it was before any training, in evaluation mode."""
        training, self.enabled = self.training, False
        self.eval()
        try:
            if self.kind == "lora":
                with self.language.disable_adapter():
                    yield
            else:
                yield
        finally:
            self.enabled = True
            self.train(training)

    @torch.no_grad()
    def lower(self, batch: Batch) -> Batch:
        """The same batch with the states that the frozen lower layers give: to be computed once."""
        decoder, layers = self._decoder[0], getattr(self._decoder[0], self._attribute)
        with self._only(slice(self.cut)), without_norm(decoder):
            out = decoder(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False)
        assert len(getattr(decoder, self._attribute)) == len(layers), "the upper layers are back"
        states = out.last_hidden_state
        return Batch(batch.input_ids, batch.attention_mask, batch.response_mask, states)

    def hidden(self, batch: Batch) -> Float[Tensor, "b s d"]:
        """Last hidden states; from the kept states of the lower layers on, if the batch has them."""
        decoder = self._decoder[0]
        if batch.states is None:
            out = decoder(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False)
        else:
            states = batch.states
            if hasattr(decoder, "wpe"):  # GPT-2 adds positions to whatever it is given, and they are in already
                states = states - decoder.wpe.weight[: states.shape[1]]
            with self._only(slice(self.cut, None)):
                out = decoder(inputs_embeds=states, attention_mask=batch.attention_mask, use_cache=False)
        hidden: Tensor = out.last_hidden_state
        return hidden

    @contextmanager
    def _only(self, layers: slice) -> Iterator[None]:
        """Inside the block the decoder has some of its layers only."""
        decoder = self._decoder[0]
        whole, count = getattr(decoder, self._attribute), decoder.config.num_hidden_layers
        setattr(decoder, self._attribute, whole[layers])
        decoder.config.num_hidden_layers = len(whole[layers])
        try:
            yield
        finally:
            setattr(decoder, self._attribute, whole)
            decoder.config.num_hidden_layers = count

    def logprobs(self, batch: Batch) -> Float[Tensor, "b t"]:
        """Log π of each response token in nats, 0 outside the mask.

        The vocabulary's matrix is asked for the response's tokens only: rows of the batch are packed before it.
        """
        mask = batch.mask
        packed = self.hidden(batch)[:, :-1][mask]  # (n,d): the state before each response token
        nats = -F.cross_entropy(self.head(packed), batch.input_ids[:, 1:][mask], reduction="none")
        return torch.zeros(mask.shape, dtype=nats.dtype).masked_scatter(mask, nats)

    def evaluate(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Log π, entropy (nats) and value of each response token, [b t] each and 0 outside the mask."""
        assert self.value_head is not None, "only PPO needs values"
        mask, hidden = batch.mask, self.hidden(batch)[:, :-1]
        log_p = self.head(hidden[mask]).log_softmax(1)  # (n,v)
        nats = log_p.gather(1, batch.input_ids[:, 1:][mask][:, None])[:, 0]
        entropy, blank = -(log_p.exp() * log_p).sum(1), torch.zeros(mask.shape)
        values = torch.where(mask, self.value_head(hidden)[..., 0], 0)
        return blank.masked_scatter(mask, nats), blank.masked_scatter(mask, entropy), values

    @torch.no_grad()
    def exact_kl(self, batch: Batch) -> Float[Tensor, " b"]:
        """KL(π‖π_ref) along each response, summed over the vocabulary before each token, in nats a response."""
        mask = batch.mask
        log_p = self.head(self.hidden(batch)[:, :-1][mask]).log_softmax(1)
        with self.as_reference():
            log_q = self.head(self.hidden(batch)[:, :-1][mask]).log_softmax(1)
        nats = (log_p.exp() * (log_p - log_q)).sum(1)
        return torch.zeros(mask.shape).masked_scatter(mask, nats).sum(1)

    def head(self, hidden: Float[Tensor, "n d"]) -> Float[Tensor, "n v"]:
        """Logits."""
        logits: Tensor = self.language.get_output_embeddings()(hidden)
        return logits

    # ------------------------------------------------------------ sampling

    @torch.no_grad()
    def sample(
        self, prompts: Sequence[list[int]], *, tokens: int, ends: tuple[int, ...], greedy: bool = False
    ) -> list[Answer]:
        """A response to each prompt, at temperature 1 from the whole vocabulary, or the likeliest token each time.

        A response is over with its first end token, which belongs to it.
        """
        longest = max(map(len, prompts))
        ids = torch.tensor([[ends[0]] * (longest - len(each)) + each for each in prompts])  # (b,p)
        mask = torch.tensor([[0] * (longest - len(each)) + [1] * len(each) for each in prompts])
        drawn = {"do_sample": False} if greedy else {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
        settings = GenerationConfig(max_new_tokens=tokens, eos_token_id=list(ends), pad_token_id=ends[0], **drawn)
        out = self.language.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
        responses = [until_end(row.tolist(), ends) for row in out[:, longest:]]
        return [Answer(prompt, response) for prompt, response in zip(prompts, responses, strict=True)]


def until_end(tokens: list[int], ends: tuple[int, ...]) -> list[int]:
    """Tokens up to the first end token, that included."""
    last = next((place for place, token in enumerate(tokens) if token in ends), len(tokens) - 1)
    return tokens[: last + 1]


def decoder_of(model: PreTrainedModel) -> tuple[nn.Module, str]:
    """The stack of layers in a causal model, and what it calls its list of layers.

    Raises:
        UserError: If it is built in another way than Llama, SmolLM2 and GPT-2 are.
    """
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model.base_model
    for attribute in ("layers", "h"):
        layers = getattr(decoder, attribute, None)
        if isinstance(layers, nn.ModuleList) and all(hasattr(layer, "mlp") for layer in layers):
            return decoder, attribute
    raise UserError(f"--model: {type(model).__name__} has no list of layers with an mlp each: use a model like SmolLM2")


def with_lora(model: PreTrainedModel, layers: nn.ModuleList, rank: int) -> peft.PeftModel:
    """LoRA on every projection of these layers; α is twice the rank (Hu et al. 2021, §4.1)."""
    inside = {id(module) for module in layers.modules() if isinstance(module, nn.Linear | Conv1D)}
    names = [name for name, module in model.named_modules() if id(module) in inside]
    conv = any(isinstance(module, Conv1D) for module in layers.modules())
    settings = peft.LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=names, fan_in_fan_out=conv, task_type="CAUSAL_LM"
    )
    with warnings.catch_warnings():  # PEFT reads an attribute that transformers will rename
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        adapted = peft.get_peft_model(model, settings)
    assert isinstance(adapted, peft.PeftModel)
    return adapted


@contextmanager
def without_norm(decoder: nn.Module) -> Iterator[None]:
    """Inside the block the last norm is left out: what comes is the stream between two layers."""
    name = "norm" if hasattr(decoder, "norm") else "ln_f"
    norm = getattr(decoder, name)
    setattr(decoder, name, nn.Identity())
    try:
        yield
    finally:
        setattr(decoder, name, norm)


def end_tokens(tokenizer: PreTrainedTokenizerFast) -> tuple[int, ...]:
    """Ids that end a response: the end of a turn, and the end of a text where the vocabulary has one of its own."""
    text = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    known = text is not None and tokenizer.convert_ids_to_tokens(text) == "<|endoftext|>"
    return tuple(dict.fromkeys([tokenizer.eos_token_id, *([text] if known else [])]))
