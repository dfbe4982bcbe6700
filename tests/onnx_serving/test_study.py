"""The study on a small model: each seed once, tables whose numbers are in the logs, and what a benchmark adds."""

import json
from contextlib import contextmanager
from dataclasses import replace

import pytest

from projects.onnx_serving import study
from projects.onnx_serving.benchmarks import benchmark, load
from projects.onnx_serving.benchmarks.arms import Case
from projects.onnx_serving.benchmarks.timing import row_of, with_gains
from projects.onnx_serving.config import Config
from projects.onnx_serving.study import StudyConfig, by_shape, over_seeds, speed, views
from shared.errors import UserError
from shared.fingerprint import verify
from shared.report import read_csv

BACKENDS = ("torch float32", "onnx int8")


@pytest.fixture
def sweep(smoke, tmp_path, monkeypatch):
    """Two seeds of a tiny encoder; what is slow is said by hand, the training is real."""

    @contextmanager
    def no_graphs(qa):
        yield qa

    def answers(qa, *_):
        right = 0.5 if qa.parent.name == "qa" else 0.75
        numbers = {"answered_f1": right, "no_answer_f1": 1.0, "same": 1.0, "same_trained": 1.0, "same_held_out": 1.0}
        return [{"backend": name, "questions": 8, **numbers, "int8_products": 0} for name in BACKENDS]

    def exported(qa, out):
        assert qa.parent.name == "qa"
        out.mkdir(parents=True, exist_ok=True)
        (out / "parity.json").write_text("[]")
        return out

    monkeypatch.setattr(study, "encoder_graphs", no_graphs)
    monkeypatch.setattr(study, "answer_rows", answers)
    monkeypatch.setattr(study, "export_if_needed", exported)
    monkeypatch.setattr(study, "claim_export", lambda _: None)
    smoothed = {"strength": "none", "questions": 8, "margin_distance": 0.5, "same": 1.0}
    monkeypatch.setattr(study, "smoothing_rows", lambda *_: [smoothed])
    text = {"backend": "torch float32", "prompts": 2, "batched_same": 1.0, "same": 1.0, "common": 1.0}
    monkeypatch.setattr(study, "text_rows", lambda _: [text])
    out = tmp_path / "onnx_serving" / "results"
    out.mkdir(parents=True)
    for place, names in {"README.md": ("results", "answers"), "results/README.md": ("smoothing", "texts")}.items():
        marks = "".join(f"<!-- begin {name} -->\n<!-- end {name} -->\n" for name in names)
        (out.parent / place).write_text(marks)
    return StudyConfig(seeds=(0, 1), runs=tmp_path / "runs", out=out), replace(smoke, limit=2, epochs=1)


def test_each_seed_is_trained_once_and_its_numbers_are_in_its_log(sweep, monkeypatch):
    config, base = sweep
    rows = study.run(config, base)
    assert [row["cell"] for row in rows] == ["qa", "qa-seed1"]
    findings = verify(config.out, recompute=True)
    assert [f"{f.path.name}: {f.detail}" for f in findings if not f.verdict.unchanged] == []
    written = json.loads((config.runs / "qa-seed1" / "result.json").read_text())
    assert {name: rows[1][name] for name in ("steps", "cpu_seconds", "films_f1", "threshold")} == {
        name: written[name] for name in ("steps", "cpu_seconds", "films_f1", "threshold")
    }
    (summary,) = read_csv(config.out / "summary.csv")
    assert summary["seeds"] == 2
    assert summary["wordings_f1"] == pytest.approx(sum(row["wordings_f1"] for row in rows) / 2)
    for row in read_csv(config.out / "answers.csv"):
        assert (row["seeds"], row["answered_f1"]) == (2, 0.625)
    shown = (config.out.parent / "README.md").read_text() + (config.out / "README.md").read_text()
    assert all(table.markdown(found) in shown for table, found in views(config.out).values())
    assert "0.6250 ± 0.1768" in shown and "in wordings never seen" in shown

    monkeypatch.setattr(study, "train", lambda _: pytest.fail("trained again"))
    before = (config.out / "runs.csv").read_bytes()
    study.run(config, base)
    assert (config.out / "runs.csv").read_bytes() == before
    model = config.runs / "qa" / "model" / "config.json"
    model.write_text(model.read_text() + " ")
    with pytest.raises(UserError, match="TAMPERED"):
        study.run(config, base)


def test_the_study_trains_the_default_configuration(monkeypatch):
    asked = []
    monkeypatch.setattr(study, "run", lambda *given: asked.append(given[1]) or [])
    study.main(StudyConfig(precision="float32"))
    assert asked == [Config(precision="float32")]


def bench_rows(arms):
    cases = [(arm, Case("encode", rows, 64, 2), 30.0 / (n + 1)) for n, arm in enumerate(arms) for rows in (1, 8)]
    cases += [("torch float32", Case("library", 8, 32, 2, 8), 9.0), ("onnx int8", Case("generate", 8, 32, 2, 8), 3.0)]
    return with_gains([row_of(arm, case, [time]) for arm, case, time in cases])


def test_an_arm_has_a_column_of_its_own_only_where_it_was_measured():
    for arms in (["torch float32", "onnx int8"], ["torch float32", "torch bfloat16", "onnx int8"]):
        encoded = [row for row in bench_rows(arms) if row["task"] == "encode"]
        heads, lines = speed(arms).view(by_shape(encoded))
        assert heads == ["rows × tokens", "threads", *arms] and len(lines) == 2
        assert lines[0] == ["1 × 64", "2", *(f"{30 / (n + 1):.1f} ms (×{n + 1:.2f})" for n in range(len(arms)))]


def test_a_benchmark_fills_its_tables_and_figures_and_leaves_the_others(tmp_path, monkeypatch, capsys):
    out = tmp_path / "onnx_serving" / "results"
    out.mkdir(parents=True)
    (out.parent / "README.md").write_text("<!-- begin generation -->\n<!-- end generation -->\nmine\n")
    drawn = []
    monkeypatch.setattr(study.figures, "main", drawn.append)
    padding = [{"scheme": "one at a time", "waste": 0.0, "articles_per_second": 2.0}]
    benchmark.publish(benchmark.BenchConfig(out=out), bench_rows(["torch float32"]), padding, 2)
    assert drawn == [out] and json.loads((out / "bench.json").read_text())["threads"] == 2
    readme = (out.parent / "README.md").read_text()
    assert "| onnx int8 | with the cache | 8 | 3 ms |" in readme and "×3.00" in readme and readme.endswith("mine\n")
    assert views(out).keys() == {"speed", "generation", "padding"}
    shown = capsys.readouterr().out
    assert "one at a time" in shown and "its own loop" in shown

    responses = [load.Response(0.1, 200, 0.5, False), load.Response(0.2, 503, 0.01, True)]
    routes = [load.route_row("/qa", 2.0, 3.0, [0.1])]
    row = load.overload_row(2.0, responses, [0.2] * 5)
    load.publish(load.LoadConfig(out=out), routes, row, {"cold_start_s": 1.5}, responses)
    assert views(out).keys() == {"speed", "generation", "padding", "server", "load"}
    assert json.loads((out / "server.json").read_text())["cold_start_s"] == 1.5
    assert all(finding.verdict.unchanged for finding in verify(out))


def test_a_single_seed_says_that_it_is_one():
    show = over_seeds("same", ".1%")
    assert show({"seeds": 1, "same": 0.5, "same_sd": 0.0}, []) == "50.0% (1 seed)"
    assert show({"seeds": 2, "same": 0.5, "same_sd": 0.25}, []) == "50.0% ± 25.0%"
