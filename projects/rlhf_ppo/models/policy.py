"""The policy: SmolLM2 with LoRA and a value head. The reference is the same network with the adapters switched off."""

# b sequences · p prompt tokens, padded on the left · t response tokens, padded on the right · s = p + t
# d hidden size · v vocabulary

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import peft
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from projects.rlhf_ppo.rl.ppo import Evaluation
from shared.errors import UserError

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Sequences:
    """Prompts and the responses to them.

    Attributes:
        input_ids: Tokens [padding, prompt, response, padding].
        attention_mask: 1 on real tokens.
        response_mask: 1 on the real tokens of the response, its end token included. It comes from lengths, never from
            `ids != pad`: in SmolLM2 end and padding are one token, and the end would be hidden and never scored.
    """

    input_ids: Int[Tensor, "b s"]
    attention_mask: Int[Tensor, "b s"]
    response_mask: Bool[Tensor, "b t"]

    @property
    def responses(self) -> Int[Tensor, "b t"]:
        """Tokens of the responses."""
        return self.input_ids[:, -self.response_mask.shape[1] :]

    def rows(self, chosen: Int[Tensor, " n"]) -> "Sequences":
        """Some of them."""
        return Sequences(self.input_ids[chosen], self.attention_mask[chosen], self.response_mask[chosen])


def join(
    prompts: Int[Tensor, "b p"],
    attention_mask: Int[Tensor, "b p"],
    responses: Int[Tensor, "b t"],
    ends: tuple[int, ...],
) -> Sequences:
    """Prompts and raw responses as sequences: a response is over with its first end token, which belongs to it."""
    ended = torch.isin(responses, torch.tensor(ends))
    before = ended.cumsum(1) - ended.long()  # end tokens in front of each place
    mask = before == 0
    return Sequences(torch.cat([prompts, responses], 1), torch.cat([attention_mask, mask.long()], 1), mask)


@torch.no_grad()
def sample(
    model: PreTrainedModel | peft.PeftModel,
    prompts: Int[Tensor, "b p"],
    attention_mask: Int[Tensor, "b p"],
    *,
    tokens: int,
    temperature: float,
    ends: tuple[int, ...],
) -> Sequences:
    """Draw a response of at most `tokens` tokens to each prompt, from the whole vocabulary at the temperature."""
    settings = GenerationConfig(
        do_sample=True,
        temperature=temperature,
        top_k=0,
        top_p=1.0,
        max_new_tokens=tokens,
        eos_token_id=list(ends),
        pad_token_id=ends[0],
    )
    out = model.generate(input_ids=prompts, attention_mask=attention_mask, generation_config=settings)
    return join(prompts, attention_mask, out[:, prompts.shape[1] :], ends)


class Policy(nn.Module):
    """A language model that is trained by its adapters, with a value for each response token.

    Attributes:
        language: PEFT's model; without its adapters it is the reference.
        value_head: d → 1, zero at the start, so that the first advantages are those of the rewards alone.
        temperature: Divides the logits, in sampling and in scoring alike: else the first ratio is not 1.
        ends: Tokens that end a response.
    """

    def __init__(self, model: PreTrainedModel, *, rank: int, temperature: float, ends: tuple[int, ...]):
        super().__init__()
        settings = peft.LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=list(TARGETS))
        with warnings.catch_warnings():  # PEFT reads an attribute that transformers will rename
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            self.language = peft.get_peft_model(model, settings)
        self.value_head = nn.Linear(model.config.hidden_size, 1)
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)
        self.temperature = temperature
        self.ends = ends

    def forward(self, sequences: Sequences) -> Evaluation:
        """Log-probabilities, values and entropies of the response tokens, [b, t] each, in nats."""
        hidden = self._hidden(sequences)
        values = self.value_head(hidden)[..., 0]  # (b,t): of the state before each token is chosen
        log_probs = self._log_softmax(hidden)  # (b,t,v)
        chosen = log_probs.gather(2, sequences.responses[..., None])[..., 0]  # (b,t,v) -> (b,t)
        return Evaluation(logprobs=chosen, values=values, entropy=-(log_probs.exp() * log_probs).sum(2))

    @contextmanager
    def as_reference(self) -> Iterator[None]:
        """Inside the block the policy is the reference: the model as it was before any training."""
        with self.language.disable_adapter():
            yield

    @torch.no_grad()
    def reference_logprobs(self, sequences: Sequences) -> Float[Tensor, "b t"]:
        """Log-probabilities of the response tokens under the reference."""
        with self.as_reference():
            log_probs = self._log_softmax(self._hidden(sequences))
        return log_probs.gather(2, sequences.responses[..., None])[..., 0]

    @torch.no_grad()
    def exact_kl(self, sequences: Sequences) -> Float[Tensor, "b t"]:
        """KL(π‖π_ref) before each response token, summed over the vocabulary, in nats."""
        log_policy = self._log_softmax(self._hidden(sequences))
        with self.as_reference():
            log_reference = self._log_softmax(self._hidden(sequences))
        return (log_policy.exp() * (log_policy - log_reference)).sum(2)

    def sample(self, prompts: Int[Tensor, "b p"], attention_mask: Int[Tensor, "b p"], *, tokens: int) -> Sequences:
        """Draw a response to each prompt, as `sample`."""
        return sample(
            self.language, prompts, attention_mask, tokens=tokens, temperature=self.temperature, ends=self.ends
        )

    def _hidden(self, sequences: Sequences) -> Float[Tensor, "b t d"]:
        """Last hidden states in front of each response token."""
        mask = sequences.attention_mask
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        decoder = self.language.base_model.model.model
        hidden = decoder(input_ids=sequences.input_ids, attention_mask=mask, position_ids=positions)
        return hidden.last_hidden_state[:, -sequences.response_mask.shape[1] - 1 : -1]

    def _log_softmax(self, hidden: Float[Tensor, "b t d"]) -> Float[Tensor, "b t v"]:
        head = self.language.base_model.model.lm_head
        return (head(hidden) / self.temperature).log_softmax(2)


def require_projections(model: PreTrainedModel, name: str) -> None:
    """Check that a model has the projections that the adapters go on, below the decoder and the head used here.

    Raises:
        UserError: If it is built otherwise (GPT-2, for one).
    """
    found = {each.rpartition(".")[2] for each, _ in model.named_modules()}
    lacking = [each for each in ("model", "lm_head", *TARGETS) if each not in found]
    if lacking:
        raise UserError(f"--model {name}: has no {', '.join(lacking)}; the policy must be built like Llama or SmolLM2")


def end_tokens(tokenizer: PreTrainedTokenizerFast) -> tuple[int, ...]:
    """Ids that end a response: the end of a turn, and the end of a text where the vocabulary has one of its own."""
    text = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    return tuple(dict.fromkeys(i for i in (tokenizer.eos_token_id, text) if i is not None))
