"""Prompts by film, pairs ordered by the proxy judge, wrong orders, and every bad line of a person's file."""

import json
from dataclasses import replace

import pytest
import torch

from projects.ppo_dpo_orpo import data, pair_files
from projects.ppo_dpo_orpo.config import SMOKE
from projects.ppo_dpo_orpo.data import Prompt
from projects.ppo_dpo_orpo.prepare import encode, stages_of
from shared.errors import UserError
from tests.ppo_dpo_orpo.conftest import rows, tiny_model, tiny_policy, write_rows


@pytest.fixture(scope="module")
def prompts():
    return data.film_prompts()


def test_no_film_template_or_prompt_is_in_training_and_test(prompts):
    for name in ("group", "template", "text"):
        test = {getattr(each, name) for each in prompts["test"]}
        for split in ("train", "validation"):
            assert not test & {getattr(each, name) for each in prompts[split]}


def test_there_are_enough_prompts_and_films_come_in_turn(prompts):
    assert len(prompts["train"]) >= 400 and len(prompts["validation"]) >= 100 and len(prompts["test"]) >= 420
    first = [each.group for each in prompts["test"][:48]]
    assert len(set(first)) == 48
    assert all(each.text.endswith(each.opening) and len(each.opening.split()) == data.WORDS for each in prompts["test"])


def some_prompts(count):
    made = (
        {"group": f"film{n}", "template": "", "opening": f"opening {n} ", "text": f"prompt {n}"} for n in range(count)
    )
    return [Prompt(split="train", **each) for each in made]


def respond_with(*sides):
    """A sampler that gives these texts in turn, one side after the other."""
    queue = iter(sides)
    return lambda texts: [(text, True) for text in next(queue)[: len(texts)]]


def test_the_proxy_judge_orders_and_the_gold_judge_only_watches():
    asked = []

    def proxy(texts):
        asked.extend(texts)
        return [len(text) for text in texts]

    found = data.sample_pairs(some_prompts(2), respond_with(["short", "quite long"], ["longer one", "x"]), proxy,
                              lambda texts: [-len(text) for text in texts], "pairs")  # fmt: skip
    assert [(pair.chosen, pair.rejected, pair.margin, pair.gold_margin) for pair in found] == [
        ("longer one", "short", 5, -5), ("quite long", "x", 9, -9),
    ]  # fmt: skip
    assert asked[:2] == ["opening 0 short", "opening 0 longer one"], "the judge reads the opening, not the template"


def test_equal_empty_and_tied_responses_are_no_comparison():
    sides = ["same", "", "ab", "good"], ["same", "full", "cd", "better"]
    found = data.sample_pairs(
        some_prompts(4), respond_with(*sides), lambda t: list(map(len, t)), lambda t: [0.0] * len(t), ""
    )
    assert [pair.chosen for pair in found] == ["better"]


def test_a_split_without_a_pair_is_refused(tmp_path):
    """All samples alike: there is nothing to learn, and nothing is kept as if there were."""
    told = {"model": "m", "sampled": 1, "test_pairs": 1, "tokens": 4, "data_seed": 0}
    ask = (lambda texts: [("same", True) for _ in texts], lambda texts: [0.0] * len(texts))
    for _ in range(2):  # what was begun is no obstacle to the next
        with pytest.raises(UserError, match="no pair is left of 1 prompts for train"):
            data.film_pairs(told, tmp_path, *ask, ask[1], ("a", "b"))


def test_wrong_orders_are_as_many_as_said_and_nested(prompts):
    pairs = [
        data.Pair(**vars(each), chosen=f"good {n}", rejected=f"bad {n}", margin=1.0)
        for n, each in enumerate(prompts["train"][:200])
    ]
    wrong = {rate: [p.margin < 0 for p in data.put_wrong(pairs, rate, 0)] for rate in (0.0, 0.1, 0.3)}
    assert [sum(found) for found in wrong.values()] == [0, 20, 60]
    assert all(three for one, three in zip(wrong[0.1], wrong[0.3], strict=True) if one)
    assert data.swap(data.swap(pairs[0])) == pairs[0]


# ---------------------------------------------------------------- a person's file


def test_a_file_of_texts(dataset, tokenizer):
    found = pair_files.read_pairs(dataset, tokenizer)
    assert {split: len(pairs) for split, pairs in found.items()} == {"train": 16, "validation": 4, "test": 4}
    data.refuse_leak(found)


def test_without_a_split_column_films_are_divided(tmp_path, tokenizer):
    found = [{k: v for k, v in row.items() if k != "split"} for row in rows(120, films=20)]
    pairs = pair_files.read_pairs(write_rows(tmp_path / "x.jsonl", found), tokenizer)
    data.refuse_leak(pairs)
    assert len({pair.group for pair in pairs["train"]}) > len({pair.group for pair in pairs["test"]}) > 0


def test_messages_go_through_the_template(tmp_path, tokenizer):
    turns = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    tokenizer.chat_template = turns + "{% if add_generation_prompt %}<assistant>{% endif %}"
    asked = {"role": "user", "content": "the film is"}
    talk = [{"chosen": [asked, {"role": "assistant", "content": "good"}],
             "rejected": [asked, {"role": "assistant", "content": "bad"}], "film": f"film{n}", "split": split}
            for n, split in enumerate(["train", "train", "validation", "test"])]  # fmt: skip
    pair = pair_files.read_pairs(write_rows(tmp_path / "x.jsonl", talk), tokenizer)["train"][0]
    assert (pair.text, pair.chosen, pair.rejected) == ("<user>the film is<assistant>", "good", "bad")
    tokenizer.chat_template = None
    with pytest.raises(UserError, match="no chat template"):
        pair_files.read_pairs(tmp_path / "x.jsonl", tokenizer)


USER, SAID = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chosen": None}, "line 3: lacks chosen, or it is empty"),
        ({"rejected": ""}, "line 3: lacks rejected, or it is empty"),
        ({"chosen": "  "}, "line 3: chosen is missing, empty or no text"),
        ({"prompt": None}, "line 3: prompt is missing, empty or no text"),
        ({"prompt": 7}, "line 3: prompt is missing, empty or no text"),
        ({"chosen": 3}, "line 3: chosen is missing, empty or no text"),
        ({"rejected": "good and bright ."}, "line 3: chosen and rejected are equal"),
        ({"split": "dev"}, "line 3: split is 'dev'"),
        ({"chosen": [SAID], "rejected": [USER]}, "line 3: rejected does not end with a message of the assistant"),
        ({"chosen": [USER, SAID], "rejected": [{"role": "user"}]}, "line 3: rejected holds a message without role"),
        ({"chosen": [USER, SAID], "rejected": "bad"}, "line 3: chosen and rejected must both be messages"),
        ({"prompt": [USER], "chosen": [SAID], "rejected": [USER, SAID]}, "line 3: chosen and rejected do not answer"),
    ],
)
def test_a_bad_line_is_named(tmp_path, tokenizer, change, message):
    found = rows()
    found[2] = {**found[2], **change}
    with pytest.raises(UserError, match=message):
        pair_files.read_pairs(write_rows(tmp_path / "x.jsonl", found), tokenizer)


def test_bad_files(tmp_path, tokenizer):
    for name, text, message in [
        ("x.jsonl", "{", "line 1: not JSON"),
        ("y.jsonl", json.dumps(rows()[0]) + "\n", "holds 1 pairs, at least 4"),
        ("z.txt", "", "neither films nor a .jsonl file"),
    ]:
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError, match=message):
            pair_files.read_pairs(tmp_path / name, tokenizer)
    with pytest.raises(UserError, match="no such file"):
        pair_files.read_pairs(tmp_path / "gone.jsonl", tokenizer)
    only = [{**row, "split": "train"} for row in rows()]
    with pytest.raises(UserError, match="no pair is left for validation"):
        pair_files.read_pairs(write_rows(tmp_path / "w.jsonl", only), tokenizer)


@pytest.mark.parametrize(("name", "word"), [("group", "film"), ("template", "template"), ("text", "prompt")])
def test_a_test_film_in_training_is_refused(dataset, tokenizer, name, word):
    found = pair_files.read_pairs(dataset, tokenizer)
    found["test"] = [replace(pair, template="t") for pair in found["test"]]
    leak = replace(found["train"][0], **{name: getattr(found["test"][0], name)})
    with pytest.raises(UserError, match=f"a {word} of the test is in validation too"):
        data.refuse_leak({**found, "validation": [leak]})


def test_tokens_and_the_end_token(dataset, tokenizer):
    """A response that was cut has no end token: it is not taught to end there."""
    pair = pair_files.read_pairs(dataset, tokenizer)["train"][0]
    chosen, rejected = data.encode(replace(pair, rejected_ended=False), tokenizer, tokens=8)
    assert chosen.response[-1] == tokenizer.eos_token_id and len(chosen.response) == 5
    assert rejected.response == tokenizer("bad and dull and not it .")["input_ids"]
    assert chosen.prompt == rejected.prompt == tokenizer(pair.text)["input_ids"]
    tokenizer.model_max_length = 9
    with pytest.raises(UserError, match="prompt and response have 11 tokens, the model 9: 'the plot is'; shorten"):
        data.encode(pair, tokenizer, tokens=8, own=True)
    with pytest.raises(UserError, match="a response has 8 tokens, --tokens 7"):
        data.encode(pair, tokenizer, tokens=7, own=True)


def test_other_weights_under_one_name_have_stages_of_their_own(tmp_path):
    """A folder that is trained on and saved again: its old pairs, states and reference are another policy's."""
    config, found = replace(SMOKE, model=str(tmp_path / "model"), stages=tmp_path / "stages"), []
    for seed in (0, 1, 0):
        tiny_model(seed=seed).save_pretrained(config.model)
        found.append(stages_of(config))
    assert found[0] == found[2] != found[1] and found[0].parent == config.stages
    assert stages_of(replace(config, model="smollm2")) == config.stages


def test_kept_states_are_those_that_were_computed(dataset, tokenizer, tmp_path):
    """Read back they are the same bits, and other texts or another cut make another file."""
    pairs, policy = pair_files.read_pairs(dataset, tokenizer)["train"], tiny_policy()
    fresh = encode(policy, tokenizer, pairs, 8, "train")
    for _ in range(2):
        kept = encode(policy, tokenizer, pairs, 8, "train", tmp_path / "kept")
        assert torch.equal(kept.reference, fresh.reference)
        for one, other in zip(kept.answers, fresh.answers, strict=True):
            assert all(
                torch.equal(a.states, b.states) and a.response == b.response for a, b in zip(one, other, strict=True)
            )
    assert len(list((tmp_path / "kept").iterdir())) == 1
    encode(policy, tokenizer, pairs[1:], 8, "train", tmp_path / "kept")
    encode(tiny_policy(upper=1 / 3), tokenizer, pairs, 8, "train", tmp_path / "kept")
    assert len(list((tmp_path / "kept").iterdir())) == 3
