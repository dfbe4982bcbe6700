"""The policy against PEFT, against full models, against itself without the kept states."""

import pytest
import torch

from projects.ppo_dpo_orpo import losses
from projects.ppo_dpo_orpo.policies import Answer, Policy, collate, decoder_of, end_tokens, until_end
from shared.errors import UserError
from shared.optim import count_parameters
from tests.ppo_dpo_orpo.conftest import tiny_model, tiny_policy, word_tokenizer

ANSWERS = [Answer([2, 4, 6], [9, 13, 12, 0]), Answer([3, 5], [10, 0]), Answer([2, 15, 7, 14], [8, 9, 11, 17, 0])]
BOTH = pytest.mark.parametrize("family", ["llama", "gpt2"])
KINDS = pytest.mark.parametrize("kind", ["lora", "adapter"])


def by_definition(model, answer):
    """log π of each response token of one unpadded sequence, from the model's own logits."""
    ids = torch.tensor([answer.prompt + answer.response])
    log_p = model(input_ids=ids).logits.log_softmax(2)[0]
    first = len(answer.prompt)
    return [log_p[t - 1, ids[0, t]].item() for t in range(first, ids.shape[1])]


@KINDS
@BOTH
def test_logprobs_are_those_of_each_sequence_alone(kind, family):
    """Padding, packing and kept states change nothing; the prompt has no loss, the end token has."""
    policy = tiny_policy(kind, family, moved=True)
    batch = collate(ANSWERS, 0)
    with torch.no_grad():
        plain, kept = policy.logprobs(batch), policy.logprobs(policy.lower(batch))
    torch.testing.assert_close(kept, plain, atol=2e-5, rtol=0)
    for row, answer in enumerate(ANSWERS):
        assert plain[row][batch.mask[row]].tolist() == pytest.approx(by_definition(policy.language, answer), abs=2e-5)
        assert plain[row][~batch.mask[row]].eq(0).all()
        assert batch.mask[row].sum() == len(answer.response)


@KINDS
@BOTH
def test_the_reference_is_a_separate_base(kind, family):
    """Adapters off equal a model that never had any, with kept states and without, even in training mode."""
    policy, base = tiny_policy(kind, family, moved=True).train(), tiny_model(family)
    batch = collate(ANSWERS, 0)
    with torch.no_grad(), policy.as_reference():
        found = policy.logprobs(policy.lower(batch))
    for row, answer in enumerate(ANSWERS):
        assert found[row][batch.mask[row]].tolist() == pytest.approx(by_definition(base, answer), abs=1e-6)
    assert policy.training and policy.enabled
    with torch.no_grad():
        assert not torch.allclose(policy.eval().logprobs(batch), found)


@KINDS
def test_the_policy_starts_as_the_reference_to_the_bit(kind):
    policy, batch = tiny_policy(kind), collate(ANSWERS, 0)
    with torch.no_grad():
        now = policy.logprobs(batch)
        with policy.as_reference():
            assert torch.equal(policy.logprobs(batch), now)


@KINDS
@BOTH
def test_gradients_with_kept_states_are_those_without(kind, family):
    policy = tiny_policy(kind, family, moved=True)
    batch, found = collate(ANSWERS, 0), []
    for each in (batch, policy.lower(batch)):
        policy.zero_grad()
        losses.masked_sum(policy.logprobs(each), each.mask).sum().backward()
        found.append({name: p.grad.clone() for name, p in policy.named_parameters() if p.requires_grad})
    assert found[0].keys() == found[1].keys() and len(found[0]) > 3
    for name in found[0]:
        torch.testing.assert_close(found[1][name], found[0][name], atol=1e-4, rtol=1e-4)


@KINDS
def test_only_upper_layers_are_trained(kind):
    policy = tiny_policy(kind)
    assert policy.cut == 1
    names = [name for name, p in policy.named_parameters() if p.requires_grad]
    assert names and not any(".layers.0." in name for name in names)
    if kind == "adapter":
        assert count_parameters(policy)[0] == 2 * (2 * 16 * 4 + 16 + 4)


def test_the_adapter_by_hand():
    """h + up(relu(down(h))) behind the feed-forward part, from its own weights."""
    policy = tiny_policy("adapter", moved=True)
    layer, adapter, h = policy.language.model.layers[1], policy.adapters[0], torch.randn(1, 2, 16)
    with policy.as_reference():
        plain = layer.mlp(h)
    inner = torch.relu(plain @ adapter.down.weight.T + adapter.down.bias)
    torch.testing.assert_close(layer.mlp(h), plain + inner @ adapter.up.weight.T + adapter.up.bias)


@KINDS
def test_dpo_equals_a_computation_on_two_full_models(kind):
    """Losses and gradients, from whole logits of a policy and of a reference of its own, sequence by sequence."""
    policy, base = tiny_policy(kind, moved=True), tiny_model()
    pairs = [ANSWERS[0], ANSWERS[2], ANSWERS[1], ANSWERS[0]]  # two chosen, two rejected
    batch = policy.lower(collate(pairs, 0))
    with torch.no_grad(), policy.as_reference():
        reference = losses.masked_sum(policy.logprobs(batch), batch.mask).chunk(2)
    margin = losses.dpo_margin(*losses.masked_sum(policy.logprobs(batch), batch.mask).chunk(2), *reference)
    loss = losses.dpo_loss(margin, beta=0.5).mean()
    gradients = torch.autograd.grad(loss, [p for p in policy.parameters() if p.requires_grad])

    twin = tiny_policy(kind, moved=True)

    def summed(model, answer):
        ids = torch.tensor([answer.prompt + answer.response])
        log_p = model(input_ids=ids).logits.log_softmax(2)[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
        return log_p[len(answer.prompt) - 1 :].sum()

    ratios = [summed(twin.language, answer) - summed(base, answer).detach() for answer in pairs]
    expected = torch.stack([-torch.log(torch.sigmoid(0.5 * (ratios[i] - ratios[i + 2]))) for i in (0, 1)]).mean()
    wanted = torch.autograd.grad(expected, [p for p in twin.parameters() if p.requires_grad])
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    for one, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


@KINDS
def test_exact_kl_by_brute_force(kind):
    policy, base, batch = tiny_policy(kind, moved=True), tiny_model(), collate(ANSWERS, 0)
    found = policy.exact_kl(policy.lower(batch))
    for row, answer in enumerate(ANSWERS):
        ids = torch.tensor([answer.prompt + answer.response])
        with torch.no_grad():
            log_p, log_q = (m(input_ids=ids).logits.log_softmax(2)[0] for m in (policy.language, base))
        places = slice(len(answer.prompt) - 1, ids.shape[1] - 1)
        kl = (log_p.exp() * (log_p - log_q))[places].sum()
        assert found[row].item() == pytest.approx(kl.item(), abs=1e-4)


@KINDS
def test_sampled_log_ratios_estimate_the_exact_divergence(kind):
    """Mean Σ log π − log π_ref over many samples of the policy is, within its error, the exact KL along them."""
    policy = tiny_policy(kind, moved=True)
    answers = policy.sample([[2, 4, 6]] * 400, tokens=4, ends=(0,))
    batch = policy.lower(collate(answers, 0))
    with torch.no_grad():
        now = losses.masked_sum(policy.logprobs(batch), batch.mask)
        with policy.as_reference():
            k1 = now - losses.masked_sum(policy.logprobs(batch), batch.mask)
    exact = policy.exact_kl(batch)
    error = (k1 - exact).std() / 20
    assert abs(k1.mean() - exact.mean()) < 4 * error and k1.mean() > 0


def test_sampling_keeps_prompts_and_ends_where_it_should():
    policy = tiny_policy(moved=True)
    answers = policy.sample([[2, 4, 6], [3]], tokens=6, ends=(0,))
    assert [answer.prompt for answer in answers] == [[2, 4, 6], [3]]
    assert all(0 not in answer.response[:-1] and 1 <= len(answer.response) <= 6 for answer in answers)
    again = policy.sample([[2, 4, 6], [3]], tokens=6, ends=(0,), greedy=True)
    assert again == policy.sample([[2, 4, 6], [3]], tokens=6, ends=(0,), greedy=True)
    ids = torch.tensor([[2, 4, 6, *again[0].response]])
    assert ids[0, 3:].tolist() == policy.language(input_ids=ids).logits[0, 2:-1].argmax(1).tolist()


def test_until_end():
    assert until_end([5, 0, 7], (0,)) == [5, 0]
    assert until_end([5, 6], (0,)) == [5, 6]


def test_end_tokens():
    assert end_tokens(word_tokenizer()) == (0,)


def test_a_model_of_another_build_is_refused():
    model = tiny_model()
    del model.model.layers[0].mlp
    with pytest.raises(UserError, match="no list of layers with an mlp each"):
        Policy(model, "adapter", size=2)
    assert decoder_of(tiny_model("gpt2"))[1] == "h"
