"""The encoder against torch's own layer, against transformers' BERT, and against what padding may not do."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

from projects.adapters.models.transformer_base import (
    Block,
    ModelConfig,
    SequenceClassifier,
    TokenClassifier,
    encoder_from_bert,
    mean_over_tokens,
)
from shared.assets import load_encoder
from shared.errors import UserError


def torch_layer(block, config):
    """torch's TransformerEncoderLayer with a copy of the block's weights."""
    theirs = nn.TransformerEncoderLayer(
        config.hidden_size,
        config.num_heads,
        config.intermediate_size,
        dropout=0.0,
        activation="gelu",
        layer_norm_eps=config.layer_norm_eps,
        batch_first=True,
        norm_first=config.norm_first,
    )
    mine = block.attention
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(torch.cat([mine.query.weight, mine.key.weight, mine.value.weight]))
        theirs.self_attn.in_proj_bias.copy_(torch.cat([mine.query.bias, mine.key.bias, mine.value.bias]))
    theirs.self_attn.out_proj.load_state_dict(mine.output.state_dict())
    theirs.linear1.load_state_dict(block.feed_forward.up.state_dict())
    theirs.linear2.load_state_dict(block.feed_forward.down.state_dict())
    theirs.norm1.load_state_dict(block.attention_norm.state_dict())
    theirs.norm2.load_state_dict(block.feed_forward_norm.state_dict())
    return theirs.train()  # in evaluation mode torch takes a fused path; both must agree


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_block_equals_torchs_layer(norm_first):
    shapes = {"vocab_size": 1, "hidden_size": 16, "num_heads": 4, "intermediate_size": 24}
    config = ModelConfig(**shapes, dropout=0.0, layer_norm_eps=1e-5, norm_first=norm_first)
    block = Block(config)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(3, 6, 16)
    real = torch.ones(3, 6, dtype=torch.bool)
    real[0, 4:] = False
    expected = torch_layer(block, config)(x, src_key_padding_mask=~real)
    assert_close(block(x, real)[real], expected[real], rtol=1e-5, atol=1e-5)


def test_the_norm_after_the_stack_belongs_to_pre_norm_only(small):
    assert isinstance(small(norm_first=True).final_norm, nn.LayerNorm)
    assert isinstance(small().final_norm, nn.Identity)


def test_a_pre_norm_encoder_equals_torchs_stack(small, batch):
    ids, mask = batch
    encoder = small(norm_first=True, dropout=0.0)
    x = encoder.embeddings(ids)
    for block in encoder.blocks:
        x = torch_layer(block, encoder.config)(x, src_key_padding_mask=mask == 0)
    real = mask.bool()
    assert_close(encoder(ids, mask)[real], encoder.final_norm(x)[real], rtol=1e-4, atol=1e-4)


def tiny_bert(seed=0, **more):
    torch.manual_seed(seed)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    bert = BertModel(BertConfig(vocab_size=50, **{**size, **more}), add_pooling_layer=False).eval()
    for parameter in bert.parameters():
        nn.init.normal_(parameter, std=0.3)
    return bert


def test_a_random_bert_is_taken_over_exactly(batch):
    ids, mask = batch
    bert = tiny_bert(layer_norm_eps=1e-3)
    expected = bert(input_ids=ids, attention_mask=mask).last_hidden_state
    real = mask.bool()
    assert_close(encoder_from_bert(bert)(ids, mask)[real], expected[real], rtol=1e-5, atol=1e-5)


def test_minilm_is_taken_over_exactly():
    bert, tokenizer = load_encoder("minilm", max_length=64)
    texts = ["Who wrote Hamlet ?", "The longest of these three texts , with a word that splits : Huamanga .", "No ."]
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = bert(**tokens).last_hidden_state
        found = encoder_from_bert(bert)(tokens["input_ids"], tokens["attention_mask"])
    real = tokens["attention_mask"].bool()
    assert_close(found[real], expected[real], rtol=0.0, atol=1e-5)
    assert (expected[real].abs().mean() > 0.1).item()  # the tolerance is small beside what is compared


def test_another_architecture_or_activation_is_refused_in_one_line():
    distil = DistilBertModel(DistilBertConfig(vocab_size=50, dim=16, n_layers=1, n_heads=2, hidden_dim=32))
    with pytest.raises(UserError, match="type distilbert"):
        encoder_from_bert(distil)
    with pytest.raises(UserError, match="activation relu"):
        encoder_from_bert(tiny_bert(hidden_act="relu"))


def test_heads_must_divide_the_hidden_size():
    with pytest.raises(UserError, match="a hidden size of 16 does not divide into 3 heads"):
        Block(ModelConfig(vocab_size=1, hidden_size=16, num_heads=3))


@pytest.mark.parametrize("norm_first", [False, True])
def test_padding_changes_nothing(small, batch, norm_first):
    """Other ids under the mask, and more padding: hidden states of real tokens stay."""
    ids, mask = batch
    encoder = small(norm_first=norm_first)
    expected = encoder(ids, mask)
    real = mask.bool()
    other = torch.where(real, ids, torch.randint(1, 50, ids.shape))
    assert_close(encoder(other, mask)[real], expected[real], rtol=1e-5, atol=1e-5)
    longer = torch.nn.functional.pad(ids, (0, 5)), torch.nn.functional.pad(mask, (0, 5))
    assert_close(encoder(*longer)[:, :7][real], expected[real], rtol=1e-5, atol=1e-5)


def test_order_matters_and_real_tokens_are_read(encoder, batch):
    ids, mask = batch
    swapped = ids.clone()
    swapped[0, [1, 2]] = ids[0, [2, 1]]
    changed = (encoder(swapped, mask) - encoder(ids, mask)).abs().amax(-1)
    assert (changed[0] > 1e-4).all()  # every position of that text reads both
    assert (changed[1:] == 0).all()


def test_the_heads(encoder, batch):
    ids, mask = batch
    texts, words = SequenceClassifier(encoder, 3), TokenClassifier(encoder, 5)
    hidden = encoder(ids, mask)
    mean = torch.stack([row[: int(m.sum())].mean(0) for row, m in zip(hidden, mask, strict=True)])
    assert_close(texts(ids, mask), texts.head(mean), rtol=1e-5, atol=1e-5)
    assert_close(words(ids, mask), words.head(hidden))


def test_the_mean_is_over_real_tokens():
    hidden = torch.tensor([[[2.0], [4.0], [9.0]], [[1.0], [1.0], [1.0]]])
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    assert mean_over_tokens(hidden, mask).flatten().tolist() == [3.0, 0.0]
