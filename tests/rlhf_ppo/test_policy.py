"""The policy: masks that see the end token, a reference that is the start, and rows that do not know their padding."""

import pytest
import torch
from torch.testing import assert_close

from projects.rlhf_ppo.models.policy import Sequences, end_tokens, join
from projects.rlhf_ppo.rl import ppo
from projects.rlhf_ppo.rollout import PromptBatch, collect_rollout, prompt_batches
from shared.errors import UserError

PROMPTS = ["the film is", "a very bright story and the actors", "it"]


def random_sequences(seed, batch=4, prompt=5, tokens=6, words=20):
    draw = torch.Generator().manual_seed(seed)
    prompts = torch.randint(1, words, (batch, prompt), generator=draw)
    attention = torch.ones_like(prompts)
    attention[0, :3] = 0
    responses = torch.randint(1, words, (batch, tokens), generator=draw)
    responses[1, 2] = 0
    responses[2, 0] = 0
    return join(prompts, attention, responses, ends=(0,))


def test_a_response_ends_with_its_first_end_token_which_belongs_to_it():
    responses = torch.tensor([[5, 0, 0, 0], [0, 0, 0, 0], [5, 6, 7, 8], [5, 9, 3, 0]])
    made = join(torch.ones(4, 2, dtype=torch.long), torch.ones(4, 2, dtype=torch.long), responses, ends=(0, 9))
    assert made.response_mask.sum(1).tolist() == [2, 1, 4, 2]
    assert made.response_mask[0].tolist() == [True, True, False, False]
    assert torch.equal(made.attention_mask[:, 2:].bool(), made.response_mask)
    assert torch.equal(made.responses, responses)


def test_log_probabilities_are_those_of_the_whole_forward_pass(policy_of):
    policy, sequences = policy_of(moved=True), random_sequences(0)
    with torch.no_grad():
        found = policy(sequences)
        row = sequences.rows(torch.tensor([3]))  # without padding: positions are 0, 1, 2, …
        logits = policy.language(input_ids=row.input_ids).logits / 0.7
    expected = logits.log_softmax(2)[0, 4:-1].gather(1, row.responses[0][:, None])[:, 0]
    assert_close(found.logprobs[3], expected, atol=1e-5, rtol=0)
    assert_close(found.entropy[3], torch.distributions.Categorical(logits=logits[0, 4:-1]).entropy(), atol=1e-5, rtol=0)


def test_a_padded_row_is_the_row_alone(policy_of):
    policy, sequences = policy_of(moved=True), random_sequences(1)
    with torch.no_grad():
        together = policy(sequences)
        short = Sequences(sequences.input_ids[:1, 3:], sequences.attention_mask[:1, 3:], sequences.response_mask[:1])
        alone = policy(short)
    assert_close(together.logprobs[:1], alone.logprobs, atol=1e-5, rtol=0)
    assert_close(together.values[:1], alone.values, atol=1e-5, rtol=0)


def test_what_follows_the_end_token_changes_nothing_before_it(policy_of):
    policy, sequences = policy_of(moved=True), random_sequences(2)
    other = sequences.input_ids.clone()
    other[1, 5 + 3 :] = 7
    changed = Sequences(other, sequences.attention_mask, sequences.response_mask)
    with torch.no_grad():
        one, two = policy(sequences), policy(changed)
    real = sequences.response_mask
    assert torch.equal(one.logprobs[real], two.logprobs[real])


def test_at_the_start_the_policy_is_the_reference_and_worth_nothing(policy_of):
    policy, sequences = policy_of(), random_sequences(3)
    with torch.no_grad():
        seen = policy(sequences)
    assert torch.equal(seen.logprobs, policy.reference_logprobs(sequences))
    assert not policy.exact_kl(sequences).any()
    assert not seen.values.any()


def test_the_reference_stays_while_the_policy_moves(policy_of):
    policy, sequences = policy_of(), random_sequences(4)
    before = policy.reference_logprobs(sequences)
    optimizer = torch.optim.SGD([p for p in policy.parameters() if p.requires_grad], lr=10.0)
    for _ in range(2):  # the first step moves B alone, away from zero
        policy(sequences).logprobs.sum().backward()
        optimizer.step()
    assert torch.equal(policy.reference_logprobs(sequences), before)
    assert policy.exact_kl(sequences)[sequences.response_mask].min() > 0
    assert {name.split(".")[0] for name, p in policy.named_parameters() if p.requires_grad} == {
        "language",
        "value_head",
    }
    assert all("lora_" in n or n.startswith("value_head") for n, p in policy.named_parameters() if p.requires_grad)


def test_the_policy_stays_the_reference_whatever_is_asked_of_it_inside_the_block(policy_of):
    policy, sequences = policy_of(moved=True), random_sequences(6)
    with policy.as_reference(), torch.no_grad():
        for _ in range(2):  # the divergence itself switches the adapters off and back
            assert not policy.exact_kl(sequences).any()
            assert torch.equal(policy(sequences).logprobs, policy.reference_logprobs(sequences))
    assert policy.exact_kl(sequences)[sequences.response_mask].min() > 0


def test_the_exact_divergence_is_the_sum_over_the_vocabulary(policy_of):
    policy, sequences = policy_of(moved=True), random_sequences(5)
    row = sequences.rows(torch.tensor([3]))
    with torch.no_grad():
        mine = (policy.language(input_ids=row.input_ids).logits / 0.7).softmax(2)[0, 4:-1]
        with policy.language.disable_adapter():
            theirs = (policy.language(input_ids=row.input_ids).logits / 0.7).softmax(2)[0, 4:-1]
    expected = (mine * (mine / theirs).log()).sum(1)
    assert_close(policy.exact_kl(row)[0], expected, atol=1e-5, rtol=0)


def test_sampling_is_from_the_distribution_that_is_scored(policy_of, decoder_tokenizer):
    """Frequencies of the first token against its probabilities, χ² over the vocabulary."""
    policy = policy_of(moved=True)
    prompts = PromptBatch(decoder_tokenizer, ["the film is"] * 4000)
    torch.manual_seed(0)
    drawn = policy.sample(prompts.input_ids, prompts.attention_mask, tokens=1)
    counts = torch.bincount(drawn.responses[:, 0], minlength=20)
    one = prompts.input_ids[:1]
    with torch.no_grad():
        expected = 4000 * (policy.language(input_ids=one).logits[0, -1] / 0.7).softmax(0)
    assert expected.min() > 5
    statistic = ((counts - expected) ** 2 / expected).sum().item()
    assert statistic < 43.8  # the 0.999 quantile with 19 degrees of freedom


def test_a_round_starts_with_ratio_exactly_1_and_no_divergence(policy_of, decoder_tokenizer):
    policy = policy_of()
    torch.manual_seed(0)
    rollout = collect_rollout(
        policy, PromptBatch(decoder_tokenizer, PROMPTS), lambda texts: torch.randn(len(texts)), tokens=5, minibatch=2
    )
    assert torch.equal(rollout.logprobs, rollout.reference)
    optimizer = torch.optim.AdamW([p for p in policy.parameters() if p.requires_grad], lr=1e-2)
    logged = ppo.update(
        lambda rows: policy(rollout.sequences.rows(rows)),
        optimizer,
        rollout,
        beta=0.1,
        settings=ppo.Settings(minibatch=2),
        generator=torch.Generator().manual_seed(0),
    )
    assert logged["first_ratio"] == 0
    assert logged["approx_kl"] > 0


def test_another_temperature_in_scoring_is_noticed(policy_of, decoder_tokenizer):
    policy = policy_of(moved=True)
    torch.manual_seed(0)
    rollout = collect_rollout(
        policy, PromptBatch(decoder_tokenizer, PROMPTS), lambda texts: torch.zeros(len(texts)), tokens=5, minibatch=3
    )
    policy.temperature = 1.0
    with torch.no_grad():
        again = policy(rollout.sequences).logprobs
    assert (again - rollout.logprobs)[rollout.sequences.response_mask].abs().max() > 1e-3


def test_rewards_see_the_text_without_the_end_token(policy_of, decoder_tokenizer):
    seen = []

    def reward(texts):
        seen.extend(texts)
        return torch.zeros(len(texts))

    torch.manual_seed(0)
    rollout = collect_rollout(policy_of(), PromptBatch(decoder_tokenizer, PROMPTS), reward, tokens=4, minibatch=3)
    assert [text.startswith(prompt) for text, prompt in zip(seen, PROMPTS, strict=True)] == [True] * 3
    assert not any("<|im_end|>" in text for text in seen)
    assert seen == [p + r for p, r in zip(PROMPTS, rollout.responses, strict=True)]


def test_every_prompt_is_played_once_a_pass_and_a_resumed_run_goes_on_where_it_was():
    prompts = [str(number) for number in range(10)]
    stream = prompt_batches(prompts, 3, seed=1, start=0)
    batches = [next(stream) for _ in range(6)]
    assert len({text for batch in batches[:3] for text in batch}) == 9
    assert batches[:3] != batches[3:]
    resumed = prompt_batches(prompts, 3, seed=1, start=4)
    assert [next(resumed), next(resumed)] == batches[4:]


def test_end_tokens_are_those_of_the_turn_and_of_the_text(decoder_tokenizer):
    assert end_tokens(decoder_tokenizer)[0] == 0


@pytest.mark.parametrize("end_at_once", [True, False])
def test_a_response_that_ends_at_once_is_one_token_long_and_scored(policy_of, decoder_tokenizer, end_at_once):
    policy = policy_of(ends=tuple(range(20)) if end_at_once else (0,))
    torch.manual_seed(0)
    rollout = collect_rollout(
        policy, PromptBatch(decoder_tokenizer, PROMPTS), lambda t: torch.ones(len(t)), tokens=3, minibatch=3
    )
    lengths = rollout.mask.sum(1)
    assert (lengths == 1).all() if end_at_once else (lengths >= 1).all()
    rewards = ppo.token_rewards(rollout.scores, torch.zeros(rollout.mask.shape), rollout.mask, 0.1)
    assert_close(rewards.sum(1), torch.ones(3))


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_reward_that_is_no_number_stops_before_it_is_used(policy_of, decoder_tokenizer, score):
    with pytest.raises(UserError, match=f"is {score}: training stopped"):
        collect_rollout(
            policy_of(),
            PromptBatch(decoder_tokenizer, PROMPTS),
            lambda t: torch.full((len(t),), score),
            tokens=3,
            minibatch=3,
        )
