"""Both generators on a small random model with the real tokenizer: batches, padding, streaming, likelihoods."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from projects.rag_agent.agents.build import open_generator
from projects.rag_agent.config import Config
from projects.rag_agent.models import engine_generator
from projects.rag_agent.models.generator import Generator, first_line
from projects.rag_agent.prompts import TEMPLATES
from shared.assets import load_causal_lm
from shared.errors import UserError

SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
SIZE |= {
    "head_dim": 16,
    "initializer_range": 0.3,
    "eos_token_id": 2,
}  # so wide that no two tokens are nearly equally likely


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    _, tokenizer = load_causal_lm("smollm2")
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(tokenizer), intermediate_size=64, max_position_embeddings=512, **SIZE)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def generator(folder):
    return Generator(str(folder))


@pytest.fixture(scope="module")
def on_engine(folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC0C2_CACHE", str(tmp_path_factory.mktemp("cache")))
        return open_generator(Config(model=str(folder), backend="engine"))


def prompt(question):
    return TEMPLATES["closed_book_turns"].messages(question=question)


PROMPTS = [prompt("Why?"), prompt("Who directed the film that was shown last night?"), prompt("Name an actor.")]


def by_hand(generator, messages, tokens):
    """Greedy decoding of one prompt, step by step, with nothing padded."""
    ids = generator.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    made = []
    for _ in range(tokens):
        with torch.inference_mode():
            best = generator.model(input_ids=torch.tensor([ids + made])).logits[0, -1].argmax().item()
        if best == generator.tokenizer.eos_token_id:
            break
        made.append(best)
    return first_line(generator.tokenizer.decode(made, skip_special_tokens=True))


def test_a_batch_answers_as_each_prompt_alone(generator):
    """Pad and end are one token here: a mask made from the ids would hide the end of a turn."""
    assert generator.tokenizer.pad_token_id == generator.tokenizer.eos_token_id
    assert generator.answer(PROMPTS, max_tokens=6) == [by_hand(generator, each, 6) for each in PROMPTS]
    assert generator.answer([], max_tokens=6) == []


def test_what_is_streamed_is_the_answer(generator):
    pieces = []
    (answer,) = generator.answer(PROMPTS[:1], max_tokens=8, stream=pieces.append)
    assert "".join(pieces).strip() == answer and answer == by_hand(generator, PROMPTS[0], 8)


def test_the_engine_gives_the_same_answers_and_likelihoods(generator, on_engine):
    pieces = []
    assert on_engine.answer(PROMPTS, max_tokens=8) == generator.answer(PROMPTS, max_tokens=8)
    assert on_engine.answer(PROMPTS[:1], max_tokens=8, stream=pieces.append) == ["".join(pieces).strip()]
    assert on_engine.answer(PROMPTS[:1], max_tokens=8) == ["".join(pieces).strip()]
    assert on_engine.answer([], max_tokens=8) == []
    options = ["calculator", "documents and more"]
    expected = generator.likelihoods(PROMPTS[0], options)
    assert on_engine.likelihoods(PROMPTS[0], options) == pytest.approx(expected, rel=1e-4)
    assert on_engine.count(PROMPTS[0]) == generator.count(PROMPTS[0])


def test_without_what_the_engine_needs_the_extra_is_named(monkeypatch):
    def missing(*_):
        raise ModuleNotFoundError("No module named 'onnx'", name="onnx")

    monkeypatch.setattr(engine_generator.engine, "load_engine", missing)
    with pytest.raises(UserError, match=r'--backend engine needs onnx: pip install -e "\.\[engine\]"'):
        open_generator(Config(backend="engine"))


def test_nothing_is_said_on_the_side(generator, capfd):
    generator.answer(PROMPTS, max_tokens=2)
    assert capfd.readouterr() == ("", "")


def test_likelihoods_are_sums_over_the_options_tokens(generator):
    options = ["calculator", "documents and more"]
    prompt_ids = generator.tokenizer.apply_chat_template(PROMPTS[0], add_generation_prompt=True, return_dict=False)
    for option, value in zip(options, generator.likelihoods(PROMPTS[0], options), strict=True):
        ids, total = list(prompt_ids), 0.0
        for token in [*generator.tokenizer(option)["input_ids"], generator.tokenizer.eos_token_id]:
            with torch.inference_mode():
                total += torch.log_softmax(generator.model(input_ids=torch.tensor([ids])).logits[0, -1], -1)[
                    token
                ].item()
            ids.append(token)
        assert value == pytest.approx(total, rel=1e-4)


def test_tokens_are_the_models_own(generator):
    assert generator.count(prompt("Why?")) < generator.count(prompt("Why on earth?"))
    assert generator.count_text("Why?") == len(generator.tokenizer("Why?")["input_ids"])


@pytest.mark.parametrize(("text", "line"), [(" a\nb", "a"), ("\n\na b \n", "a b"), ("", "")])
def test_an_answer_is_its_first_line(text, line):
    assert first_line(text) == line
