"""What stands between the pure losses and the loops: which numbers of a batch go where, and what is read when."""

import math
from dataclasses import replace

import pytest
import torch

from projects.ppo_dpo_orpo import data, evaluate, losses, prepare, train_ppo, train_preference
from projects.ppo_dpo_orpo.config import SMOKE
from projects.ppo_dpo_orpo.policies import Answer, collate
from projects.ppo_dpo_orpo.prepare import Judges
from tests.ppo_dpo_orpo.conftest import Counting, tiny_model, tiny_policy

CHOSEN = [Answer([2, 4], [5]), Answer([2, 4, 6], [7, 8, 9, 0])]
REJECTED = [Answer([2, 4], [3, 3]), Answer([2, 4, 6], [0])]


@pytest.fixture
def config(tmp_path, model_folder, dataset):
    return replace(SMOKE, model=str(model_folder), dataset=str(dataset), tokens=8, upper=0.67, out=tmp_path / "run")


@pytest.fixture
def prepared(config):
    """Judges that like different words, so that they cannot be taken for each other."""
    return prepare.prepare(config, Judges(Counting("good", "proxy"), Counting("dull", "gold")))


# ---------------------------------------------------------------- pairs


@pytest.mark.parametrize("method", ["dpo", "cdpo", "ipo", "orpo"])
def test_the_loss_of_a_batch_by_hand(method):
    """Each response alone, in plain numbers: DPO and IPO sum over its tokens, ORPO's ratio takes each response's mean.

    ORPO's likelihood is a mean over all chosen tokens together: 1 and 4 of them here.
    """
    policy = tiny_policy(moved=True)
    reference = torch.tensor([[-3.0, -4.0], [-9.0, -2.0]])
    of = nats_of(policy)
    alone = [[of(answer).tolist() for answer in side] for side in (CHOSEN, REJECTED)]
    told = {"beta": 0.3, "weight": 0.7, "label_noise": 0.2}
    loss, seen = train_preference.preference_loss(
        replace(SMOKE, method=method, **told), policy, collate([*CHOSEN, *REJECTED], 0), reference, 5.0
    )
    terms = []
    for row, (won, lost) in enumerate(zip(*alone, strict=True)):
        h = sum(won) - reference[row, 0].item() - sum(lost) + reference[row, 1].item()
        odds = [mean - math.log1p(-math.exp(mean)) for mean in (sum(won) / len(won), sum(lost) / len(lost))]
        terms.append(
            {
                "dpo": math.log1p(math.exp(-0.3 * h)),
                "cdpo": 0.8 * math.log1p(math.exp(-0.3 * h)) + 0.2 * math.log1p(math.exp(0.3 * h)),
                "ipo": (h - 1 / 0.6) ** 2,
                "orpo": 0.7 * math.log1p(math.exp(odds[1] - odds[0])),
            }[method]
        )
    likelihood = -sum(map(sum, alone[0])) / 5 if method == "orpo" else 0.0
    assert loss.item() == pytest.approx(sum(terms) / 2 + likelihood, rel=1e-4)
    assert seen["chosen"] == pytest.approx(sum(map(sum, alone[0])) / 2 + 6, rel=1e-4)


def nats_of(policy):
    """Log-probabilities of one answer's response, from the whole model, without padding and without kept states."""

    def of(answer):
        ids = torch.tensor([answer.prompt + answer.response])
        with torch.no_grad():
            log_p = policy.language(input_ids=ids).logits[0].log_softmax(1)
        places = range(len(answer.prompt) - 1, ids.shape[1] - 1)
        return torch.stack([log_p[place, ids[0, place + 1]] for place in places])

    return of


def test_a_pass_takes_every_pair_once_and_the_next_in_another_order():
    taken = [train_preference.batch_rows(12, 4, seed, step) for seed in (0, 1) for step in range(1, 7)]
    passes = [[row for batch in taken[first : first + 3] for row in batch] for first in range(0, 12, 3)]
    assert all(sorted(each) == list(range(12)) for each in passes)
    assert len({tuple(each) for each in passes}) == 4, "two seeds, two passes each"


def test_a_pair_in_the_wrong_order_has_its_answers_and_its_reference_exchanged(config, prepared):
    whole, wrong = prepared.encoded["train"], prepared.training(replace(config, wrong=0.5, pairs=8))
    assert len(wrong.pairs) == len(wrong.answers) == len(wrong.reference) == 8
    turned = [pair.chosen != own.chosen for pair, own in zip(wrong.pairs, whole.pairs, strict=False)]
    assert sum(turned) == 4
    for row, turn in enumerate(turned):
        assert wrong.answers[row] == (whole.answers[row][::-1] if turn else whole.answers[row])
        assert torch.equal(wrong.reference[row], whole.reference[row].flip(0) if turn else whole.reference[row])


def test_an_end_goes_with_its_response_when_two_are_exchanged(prepared):
    pair = replace(prepared.encoded["train"].pairs[0], chosen_ended=True, rejected_ended=False)
    assert (data.swap(pair).chosen_ended, data.swap(pair).rejected_ended) == (False, True)


def test_training_reads_no_test_pair(config, prepared):
    """Validation chooses the step. Whoever looks at a test pair meanwhile finds none."""
    del prepared.encoded["test"]
    ppo = replace(config, method="ppo", out=config.out.with_name("ppo"))
    assert train_preference.main(config, prepared).directory == config.out
    assert train_ppo.main(ppo, prepared).directory == ppo.out


# ---------------------------------------------------------------- judges


def test_pairs_are_ordered_by_the_proxy_judge_and_know_who_ended(config, prepared, monkeypatch):
    seen = {}

    def film_pairs(settings, stages, respond, proxy, gold, judges):
        seen.update(respond=respond, proxy=proxy, gold=gold)
        return {}

    monkeypatch.setattr(data, "film_pairs", film_pairs)
    policy, tokenizer = prepare.new_policy(config)
    prepare.sampled_pairs(config, policy, tokenizer, prepared.judges)
    assert (seen["proxy"](["good"]), seen["gold"](["good"])) == ([1.0], [0.0])
    monkeypatch.setattr(policy, "sample", lambda *_, **__: [Answer([2], [3, 0]), Answer([2], [3, 4])])
    assert [ended for _, ended in seen["respond"](["the", "the"])] == [True, False]


def test_judges_read_the_opening_and_the_gold_judges_score_is_called_gold(config, prepared):
    known = replace(prepared, prompts=[replace(each, opening="good good dull ") for each in prepared.prompts])
    for numbers, kept in evaluate.answer(prepare.new_policy(config)[0], known, tokens=6, seed=0):
        text = "good good dull " + kept["response"]
        assert numbers["gold"] == pytest.approx(prepared.judges.gold.rate([text]).item())
        assert numbers["proxy"] == pytest.approx(prepared.judges.proxy.rate([text]).item())


# ---------------------------------------------------------------- PPO


@pytest.fixture
def rollout(config, prepared):
    """A policy that has moved, and what it said to four prompts whose openings the judge likes."""
    policy = tiny_policy(moved=True, values=True)
    asked = [replace(pair, opening="good good ") for pair in prepared.encoded["train"].pairs[:4]]
    torch.manual_seed(0)
    return policy, train_ppo.collect_rollout(policy, prepared, asked, replace(config, batch_size=4))


def test_a_rollout_is_rated_with_its_opening_and_measured_against_the_base(rollout, prepared):
    _, found = rollout
    texts = ["good good " + text for text in found.responses]
    torch.testing.assert_close(found.scores, prepared.judges.proxy.rate(texts))
    whole = tiny_policy()
    whole.language = tiny_model()
    for row in range(4):
        start = int(found.batch.response_mask[row].nonzero()[0])
        end = int(found.batch.response_mask[row].nonzero()[-1]) + 1
        ids = found.batch.input_ids[row].tolist()
        expected = nats_of(whole)(Answer(ids[:start], ids[start:end]))
        torch.testing.assert_close(found.reference[row][found.batch.mask[row]], expected, atol=1e-5, rtol=1e-4)
    told = train_ppo.describe(found)
    nats = [(found.logprobs - found.reference)[row][found.batch.mask[row]].sum().item() for row in range(4)]
    assert told["kl"] == pytest.approx(sum(nats) / 4, rel=1e-4), "of a response, not of a token"
    assert sum(map(abs, nats)) > 0.01, "the reference is not the policy"


def test_a_value_is_what_is_expected_before_the_token():
    """The last token is another: no value knows it yet."""
    policy = tiny_policy(moved=True, values=True)
    nats, _, values = policy.evaluate(collate([Answer([2, 4], [5, 6, 7]), Answer([2, 4], [5, 6, 8])], 0))
    assert values.abs().sum() > 0 and torch.allclose(values[0], values[1], atol=1e-6)
    assert not torch.allclose(nats[0, -1], nats[1, -1])


def test_an_entropy_bonus_lowers_the_loss_by_so_much(rollout, config):
    policy, found = rollout
    rows, zero = torch.arange(4), torch.zeros(found.batch.mask.shape)
    losses_of = [
        train_ppo.ppo_loss(policy, found, rows, zero, found.values, replace(config, entropy=weight))
        for weight in (0.0, 0.5)
    ]
    (plain, terms), (bonus, _) = losses_of
    assert terms["entropy"] > 0 and (plain - bonus).item() == pytest.approx(0.5 * terms["entropy"], rel=1e-4)


def test_a_minibatch_has_its_own_responses_advantages(rollout, config, monkeypatch):
    policy, found = rollout
    config, seen = replace(config, batch_size=2, kl_weight=0.25, lam=0.5), []
    true = train_ppo.ppo_loss

    def noting(policy, rollout, rows, advantages, returns, config):
        seen.append((rows, advantages, returns))
        return true(policy, rollout, rows, advantages, returns, config)

    monkeypatch.setattr(train_ppo, "ppo_loss", noting)
    train_ppo.update(policy, torch.optim.AdamW([p for p in policy.parameters() if p.requires_grad], lr=0.0), found,
                     config, torch.Generator().manual_seed(1), config.out, 4)  # fmt: skip
    mask, kl = found.batch.mask, found.logprobs - found.reference
    rewards = losses.token_rewards(found.scores, kl, mask, beta=0.25)
    advantages, returns = losses.gae(rewards, found.values, mask, gamma=1.0, lam=0.5)
    assert len(seen) == 4
    for rows, mine, own in seen:
        torch.testing.assert_close(mine, losses.whiten(advantages, mask)[rows])
        torch.testing.assert_close(own, returns[rows])


# ---------------------------------------------------------------- what the library is told


def test_sampling_is_from_the_whole_distribution(monkeypatch):
    """The library's own defaults cut at 50 tokens: another policy than the one whose log-probabilities are taken."""
    policy, told = tiny_policy(), []

    def generate(*, input_ids, generation_config, **_):
        told.append(generation_config)
        return torch.cat([input_ids, input_ids[:, -1:]], 1)

    monkeypatch.setattr(policy.language, "generate", generate)
    policy.sample([[2, 4]], tokens=1, ends=(0,))
    (settings,) = told
    assert settings.do_sample and (settings.temperature, settings.top_k, settings.top_p) == (1.0, 0, 1.0)


def test_lora_is_scaled_by_two():
    policy = tiny_policy("lora")
    scales = [module.scaling["default"] for module in policy.language.modules() if hasattr(module, "lora_A")]
    assert scales and set(scales) == {2.0}
