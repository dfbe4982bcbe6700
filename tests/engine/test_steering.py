"""A row with an adapter answers as PEFT's model does, one with a vector as a model with a hook, in any company."""

from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from shared.engine import Engine, EngineRows, Request, Sampling, Steering, generate, read_lora, stream
from shared.engine.graph import graph_folder
from shared.errors import UserError

pytestmark = pytest.mark.timeout(300)  # the first test that asks for a graph builds it
EVERYTHING = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
IDS = [int(i) for i in np.random.default_rng(5).integers(3, 49152, 30)]


@pytest.fixture(scope="module")
def adapters(tiny_folder, tmp_path_factory):
    """Name → (PEFT's model, its saved folder): everything at rank 4, two projections at rank 2 with rsLoRA."""
    found = {}
    for seed, (name, targets, options) in enumerate(
        (("all", EVERYTHING, {"r": 4}), ("two", ["q_proj", "v_proj"], {"r": 2, "use_rslora": True}))
    ):
        torch.manual_seed(seed)
        base = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
        config = LoraConfig(target_modules=targets, lora_alpha=8, init_lora_weights=False, **options)
        model = get_peft_model(base, config).eval()
        folder = tmp_path_factory.mktemp(name)
        model.save_pretrained(folder)
        found[name] = (model, folder)
    return found


def logits_of(model, ids=IDS):
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0].numpy()


def assert_equal(ours, theirs):
    np.testing.assert_allclose(ours, theirs, atol=2e-4 * np.abs(theirs).max())


@contextmanager
def pushed(model, vectors):
    """transformers' model with vectors added to the outputs of its layers."""

    def add(vector):
        return lambda _, __, output: output + torch.tensor(vector)

    hooks = [model.model.layers[layer].register_forward_hook(add(vector)) for layer, vector in vectors.items()]
    try:
        yield model
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("name", ["all", "two"])
def test_an_adapter_gives_the_logits_of_peft(steerable, tiny_torch, adapters, name):
    model, folder = adapters[name]
    cache = steerable.new_cache(len(IDS))
    cache.steer(0, read_lora(folder, steerable.head_widths))
    ours = steerable.read(cache, 0, IDS, positions=[*range(len(IDS))])
    assert_equal(ours, logits_of(model))
    assert np.abs(ours - logits_of(tiny_torch)).max() > 0.1 * np.abs(ours).max()


def test_vectors_give_the_logits_of_a_model_with_hooks(steerable, tiny_torch):
    rng = np.random.default_rng(0)
    vectors = {layer: rng.normal(size=64).astype(np.float32) for layer in (0, 1)}
    cache = steerable.new_cache(len(IDS))
    cache.steer(0, Steering(vectors=vectors))
    with pushed(tiny_torch, vectors) as model:
        assert_equal(steerable.read(cache, 0, IDS)[0], logits_of(model)[-1])


def test_nothing_added_is_the_plain_model(steerable, tiny):
    np.testing.assert_allclose(steerable.score(IDS), tiny.score(IDS), atol=1e-5)


def test_in_int8_nothing_added_is_the_plain_model_and_an_adapter_is_heard(tiny_folder, adapters, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC0C2_CACHE", str(tmp_path))
        folder = graph_folder(str(tiny_folder), "int8")
    plain, added = Engine(folder, threads=1), Engine(folder, threads=1, steerable=True)
    np.testing.assert_array_equal(added.score(IDS), plain.score(IDS))
    cache = added.new_cache(len(IDS))
    cache.steer(0, read_lora(adapters["all"][1], added.head_widths))
    assert np.abs(added.read(cache, 0, IDS)[0] - plain.score(IDS)[-1]).max() > 0.1


def test_each_row_of_a_batch_has_its_own(steerable, tiny_torch, adapters):
    """Rows of different ranks, one with nothing, and a row that takes the place of another."""
    vector = {1: np.linspace(-1, 1, 64, dtype=np.float32)}
    (all_of, first), (two, second) = adapters["all"], adapters["two"]
    steerings = [read_lora(second, steerable.head_widths), None, Steering(vectors=vector)]
    steerings.append(read_lora(first, steerable.head_widths))
    rows = EngineRows(steerable, size=4, capacity=40)
    for row, steering in enumerate(steerings):
        rows.cache.steer(row, steering)
        rows.read(row, IDS[: 5 + row])
    with pushed(tiny_torch, vector) as model:
        hooked = logits_of(model, [*IDS[:7], 9])[-1]
    wanted = [
        logits_of(two, [*IDS[:5], 9])[-1],
        logits_of(tiny_torch, [*IDS[:6], 9])[-1],
        hooked,
        logits_of(all_of, [*IDS[:8], 9])[-1],
    ]
    assert_equal(rows.step([9] * 4), np.stack(wanted))
    rows.clear(0)
    rows.move(3, 0)
    assert_equal(rows.step([11])[0], logits_of(all_of, [*IDS[:8], 9, 11])[-1])


def test_requests_with_and_without_an_adapter_are_answered_as_alone(steerable, adapters):
    steering = read_lora(adapters["all"][1], steerable.head_widths)
    drawn = Sampling(temperature=0.9, seed=3)
    requests = [
        Request(prompt=IDS[: 3 + 4 * i], max_tokens=2 + i, sampling=drawn, steering=steering if i % 2 else None)
        for i in range(6)
    ]
    alone = []
    for request in requests:
        reading = stream(steerable, request)
        list(reading)
        alone.append(reading.answer.ids)
    assert [answer.ids for answer in generate(steerable, requests, size=2)] == alone


def test_another_adapter_reads_the_prompt_again(steerable, adapters):
    """What the cache holds was computed with the first one."""
    model, folder = adapters["all"]
    steering = read_lora(folder, steerable.head_widths)
    turns = [None, steering, steering, None]
    cache, computed = steerable.new_cache(len(IDS) + 2), [0]
    for turn in turns:
        reading = stream(steerable, Request(prompt=IDS, max_tokens=1, steering=turn), cache=cache)
        list(reading)
        computed.append(cache.computed)
        assert reading.answer.ids == [int((logits_of(model)[-1] if turn else steerable.score(IDS)[-1]).argmax())]
    assert [b - a for a, b in pairwise(computed)] == [len(IDS), len(IDS), 1, len(IDS)]


@pytest.mark.parametrize(
    ("steering", "message"),
    [
        (Steering(vectors={7: np.zeros(64, np.float32)}), r"there is no 7 in the model"),
        (Steering(vectors={0: np.zeros(63, np.float32)}), r"0\.vector has the shape \(1, 63\)"),
        (
            Steering({(0, "mlp.up_proj"): (np.zeros((63, 2)), np.zeros((2, 128)))}),
            r"0\.mlp\.up_proj\.down has the shape",
        ),
        (Steering({(0, "norm"): (np.zeros((64, 2)), np.zeros((2, 64)))}), r"there is no 0\.norm in the model"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(steerable, steering, message):
    cache = steerable.new_cache(8)
    with pytest.raises(UserError, match=message):
        cache.steer(0, steering)
    assert not any(array.any() for array in cache.steering.arrays.values()) and cache.steering.of == [None]


def test_an_engine_that_is_not_steerable_says_so(tiny):
    with pytest.raises(UserError, match="not loaded as steerable"):
        list(stream(tiny, Request(prompt=IDS, steering=Steering(vectors={0: np.zeros(64, np.float32)}))))


def test_what_is_no_plain_lora_is_refused(tmp_path, adapters, steerable):
    with pytest.raises(UserError, match="is no LoRA adapter of PEFT's"):
        read_lora(tmp_path, steerable.head_widths)
    folder = adapters["all"][1]
    (tmp_path / "adapter_model.safetensors").write_bytes((folder / "adapter_model.safetensors").read_bytes())
    text = (folder / "adapter_config.json").read_text()
    (tmp_path / "adapter_config.json").write_text(text.replace('"use_dora": false', '"use_dora": true'))
    with pytest.raises(UserError, match="only plain LoRA"):
        read_lora(tmp_path, steerable.head_widths)
