"""The benchmark's own arithmetic; its real arms on tiny models would time nothing that means anything."""

import pytest

from projects.onnx_serving.benchmarks.arms import ARMS, Case, encoder_cases, supports
from projects.onnx_serving.benchmarks.benchmark import BenchConfig, main
from projects.onnx_serving.benchmarks.load import LoadConfig, Response, by_second, overload_row
from projects.onnx_serving.benchmarks.timing import row_of, with_gains
from shared.errors import UserError


def test_percentiles_and_throughput_by_hand():
    row = row_of("onnx int8", Case("generate", 4, 32, 2, new_tokens=10), [10.0, 20.0, 30.0])
    assert (row["p50_ms"], row["per_second"], row["calls"]) == (20.0, 1000 * 40 / 20, 3)
    assert row["p95_ms"] == pytest.approx(29.0) and row["p99_ms"] == pytest.approx(29.8)


def test_gains_are_over_the_arm_of_the_same_shape():
    cases = [("torch float32", Case("encode", 1, 64, 2), 30.0), ("onnx int8", Case("encode", 1, 64, 2), 10.0)]
    cases += [("torch float32", Case("encode", 1, 64, 1), 50.0), ("onnx int8", Case("encode", 1, 64, 1), 10.0)]
    cases += [("torch float32", Case("library", 1, 32, 2, 8), 9.0), ("onnx int8", Case("generate", 1, 32, 2, 8), 3.0)]
    rows = with_gains([row_of(arm, case, [time]) for arm, case, time in cases])
    assert [row["gain"] for row in rows] == [1, 3, 1, 5, 1, 3]


def test_every_arm_has_the_same_threads_and_cases():
    assert {case.threads for case in encoder_cases(2)} == {1, 2} and {case.threads for case in encoder_cases(1)} == {1}
    assert all(supports(arm, case) for arm in ARMS for case in encoder_cases(2))


def test_overload_by_hand():
    responses = [Response(0.1, 200, 0.5, False), Response(0.2, 503, 0.01, True), Response(1.5, 200, 0.7, False)]
    row = overload_row(2.0, [*responses, Response(1.6, 0, 0.1, False)], [0.2] * 5)
    assert (row["requests"], row["accepted"], row["refused"], row["refused_with_retry_after"]) == (4, 2, 1, 1)
    assert row["other"] == 1 and row["over_unloaded_p99"] == pytest.approx(0.698 / 0.2, rel=1e-3)
    assert [(each["accepted"], each["refused"], each["longest_ms"]) for each in by_second(responses)] == [
        (1, 1, 500.0),
        (1, 0, 700.0),
    ]


def test_what_cannot_be_measured(tmp_path):
    with pytest.raises(UserError, match="holds no exported models"):
        main(BenchConfig(graphs=tmp_path))
    with pytest.raises(UserError, match="rounds"):
        BenchConfig(rounds=2)
    with pytest.raises(UserError, match="alone"):
        LoadConfig(alone=1)
