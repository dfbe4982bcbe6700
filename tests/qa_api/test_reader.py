"""Windows, spans and the null score: against definitions and brute force."""

import numpy as np
import pytest
import torch

from projects.qa_api.reader.calibrate import Calibrator, Evidence, Judged, best_threshold, fit_calibrator
from projects.qa_api.reader.decode import Span, best_pair, decode, read, trimmed
from projects.qa_api.reader.model import SpanReader, span_loss
from projects.qa_api.reader.windows import OUTSIDE, targets, windows
from shared.errors import UserError

TEXT = "Malta is an island. Its capital is Valletta, on the north coast. " * 12
QUESTION = "What is the capital of Malta?"


# ---------------------------------------------------------------- windows


def test_every_token_of_a_document_is_in_a_window_with_its_place(tiny_reader):
    found = windows(tiny_reader.tokenizer, [(QUESTION, TEXT)], tokens=64, stride=16)
    told = tiny_reader.tokenizer(TEXT, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    seen = {place for row in found.offsets for place in row if place != OUTSIDE}
    assert seen == {tuple(place) for place in told} and len(found.owner) > 3
    for row, inside in zip(found.offsets, found.context, strict=True):
        assert [place != OUTSIDE for place in row] == inside.tolist()


def test_the_answer_of_a_window_is_its_tokens_and_the_mark_where_it_lacks_it(tiny_reader):
    found = windows(tiny_reader.tokenizer, [(QUESTION, TEXT), (QUESTION, "Nothing here.")], tokens=64, stride=16)
    start = TEXT.index("Valletta")
    goals = targets(found, [(start, start + len("Valletta")), None])
    for row, (first, last) in enumerate(goals.tolist()):
        places = [place for place in found.offsets[row] if place != OUTSIDE]
        whole = found.owner[row] == 0 and places[0][0] <= start and places[-1][1] >= start + 8
        assert (first > 0) == whole
        if first:
            assert TEXT[found.offsets[row][first][0] : found.offsets[row][last][1]] == "Valletta"


def test_a_question_of_five_thousand_words_leaves_room_for_the_document(tiny_reader):
    found = windows(tiny_reader.tokenizer, [("why " * 5000, TEXT)])
    assert int(found.context.sum(1).min()) > 20


# ---------------------------------------------------------------- spans


@pytest.mark.parametrize("seed", range(20))
def test_the_best_pair_is_that_of_brute_force(seed):
    random = torch.Generator().manual_seed(seed)
    scores = torch.randn(23, 2, generator=random)
    allowed = torch.rand(23, generator=random) < 0.6
    pairs = [(float(scores[i, 0] + scores[j, 1]), -i, -j) for i in range(23) for j in range(i, min(i + 5, 23))
             if allowed[i] and allowed[j]]  # fmt: skip
    value, first, last = max(pairs)
    assert best_pair(scores, allowed, 5) == (-first, -last, pytest.approx(value))


def test_without_an_allowed_token_there_is_no_pair():
    assert best_pair(torch.zeros(4, 2), torch.zeros(4, dtype=torch.bool)) == (0, 0, -float("inf"))


def test_null_is_the_least_over_the_windows_and_the_span_the_best(tiny_reader):
    found = windows(tiny_reader.tokenizer, [(QUESTION, TEXT)], tokens=64, stride=16)
    scores = torch.zeros(len(found.owner), found.ids.shape[1], 2)
    scores[:, 0, :] = torch.tensor([[3.0], [1.0], [2.0], *([4.0] for _ in found.owner[3:])])
    at = int(found.context[1].nonzero()[5])
    scores[1, at, :] = 5.0
    (span,) = decode(scores, found, 1)
    assert span.null == 2.0 and span.score == 10.0 and span.margin == 8.0
    assert (span.start, span.stop) == found.offsets[1][at]


def test_reading_many_is_reading_each(tiny_reader):
    pairs = [(QUESTION, TEXT), ("Who?", "Short text."), (QUESTION, TEXT[:200])]
    together = read(tiny_reader, pairs, batch=3)
    for pair, span in zip(pairs, together, strict=True):
        (alone,) = read(tiny_reader, [pair], batch=1)
        assert (alone.start, alone.stop) == (span.start, span.stop)
        assert [alone.score, alone.null] == pytest.approx([span.score, span.null], rel=1e-4, abs=1e-5)
    assert read(tiny_reader, []) == []


def test_a_span_loses_spaces_and_marks_at_its_ends_and_nothing_inside():
    text = 'He said "the 5th, of May" (1821).'
    assert text[slice(*trimmed(text, Span(7, 25, 0.0, 0.0)))] == "the 5th, of May"
    assert trimmed("...", Span(0, 3, 0.0, 0.0)) == (3, 3)


# ---------------------------------------------------------------- the model


def test_the_reader_in_two_parts_is_the_whole_encoder(tiny_reader):
    found = windows(tiny_reader.tokenizer, [(QUESTION, TEXT), ("Who?", "Short.")], tokens=64, stride=16)
    with torch.no_grad():
        whole = tiny_reader.encoder(input_ids=found.ids, attention_mask=found.mask.long()).last_hidden_state
        scores = tiny_reader(found.ids, found.mask)
    torch.testing.assert_close(scores[found.mask], tiny_reader.head(whole)[found.mask], rtol=1e-5, atol=1e-5)
    assert bool(torch.isinf(scores[~found.mask]).all())


def test_only_the_upper_layers_and_the_head_learn(tiny_reader):
    names = {name for name, _ in tiny_reader.trained()}
    assert {"head.weight", "head.bias"} < names
    assert all("layer.1." in name or name.startswith("head") for name in names)
    with pytest.raises(UserError, match="are not those of a reader"):
        tiny_reader.load_trained({"head.weight": torch.zeros(2, 3)})


def test_the_loss_is_the_mean_of_two_cross_entropies():
    scores, wanted = (
        torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(0)),
        torch.tensor([[1, 2], [0, 0], [3, 4]]),
    )
    logs = scores.log_softmax(1)
    by_hand = -sum(float(logs[w, wanted[w, end], end]) for w in range(3) for end in range(2)) / 6
    assert float(span_loss(scores, wanted)) == pytest.approx(by_hand, rel=1e-5)


def test_a_model_that_is_no_bert_or_has_too_few_layers_is_refused():
    with pytest.raises(UserError, match="at least so many layers"):
        SpanReader("minilm", 7)


# ---------------------------------------------------------------- calibration


def test_a_calibrator_gives_back_the_chances_that_made_its_data():
    random = np.random.default_rng(0)
    evidence = [Evidence(float(m), 0.0, 0.0, 1.0, 0.0, 0.0) for m in random.normal(0, 4, 4000)]
    right = [bool(random.random() < 1 / (1 + np.exp(-(1.5 * each.margin / 4 - 0.5)))) for each in evidence]
    fitted = fit_calibrator([Judged((one,), (float(yes),), True) for one, yes in zip(evidence, right, strict=True)])
    truth = np.array([1 / (1 + np.exp(-(1.5 * each.values[0] - 0.5))) for each in evidence])
    assert np.abs(fitted.chance(evidence) - truth).max() < 0.06
    again = Calibrator.from_json(fitted.as_json())
    assert np.array_equal(again.chance(evidence), fitted.chance(evidence))


def test_a_wild_score_is_bounded_and_nothing_to_weigh_is_nothing():
    wild = Evidence(1e9, -1e9, -1e9, 1.0, 1.0, 1e9)
    assert max(map(abs, wild.values)) <= 4
    assert len(Calibrator(np.ones(6), 0.0, 0.5).chance([])) == 0


def test_the_best_of_many_noisy_candidates_is_not_believed_as_one_of_them_is():
    random = np.random.default_rng(1)
    judged = []
    for _ in range(1500):
        margins = random.normal(0, 4, 5)
        right = [float(random.random() < 1 / (1 + np.exp(-(m / 4 - 2)))) for m in margins]
        judged.append(Judged(tuple(Evidence(float(m), 0.0, 0.0, 1.0, 0.0, 0.0) for m in margins), tuple(right), True))
    fitted = fit_calibrator(judged)
    best = [int(fitted.chance(one.evidence).argmax()) for one in judged]
    stated = np.mean([fitted.chance([one.evidence[at]])[0] for one, at in zip(judged, best, strict=True)])
    assert stated == pytest.approx(np.mean([one.right[at] for one, at in zip(judged, best, strict=True)]), abs=0.01)


@pytest.mark.parametrize("seed", range(10))
def test_no_other_threshold_gives_a_larger_mean_f1(seed):
    random = np.random.default_rng(seed)
    chance, f1 = random.choice([0.1, 0.3, 0.5, 0.8], 30), random.choice([0.0, 0.5, 1.0], 30)
    answerable = random.random(30) < 0.6
    f1 = np.where(answerable, f1, 0.0)

    def mean(threshold):
        return float(np.where(chance >= threshold, f1, ~answerable).mean())

    found = best_threshold(chance, f1, answerable)
    assert mean(found) == max(mean(each) for each in (0.0, 0.2, 0.4, 0.6, 0.9))
