"""The study with training played: which cells are asked for, what is chosen, and whether tables come from the logs."""

import os
import shutil
from dataclasses import replace

import pytest

from projects.hf_finetune import study
from projects.hf_finetune.config import ARMS, Config
from projects.hf_finetune.study import RESULTS
from projects.hf_finetune.training.callbacks import FAULT
from shared.fingerprint import Verdict, verify
from shared.report import between_marks, read_csv
from shared.runs import Run


def finish(cell):
    """A run that came to numbers of its settings; γ = 0.001 and p = 0.6 are best on validation."""
    with Run(cell.out, project="hf_finetune", config=replace(cell, memory_gb=None), data="aa" * 32) as run:
        for epoch in (1, 2):
            better = {0.0: 0.5, 0.001: 0.6}.get(cell.awp, 0.4) + {0.0: 0.0, 0.6: 0.2}.get(cell.mixout, 0.1) + cell.lr
            run.log(epoch, validation_loss=1 / epoch, validation_macro_f1=better - 0.01 * epoch)
        f1 = better + 0.01 * cell.seed**2
        tested = {
            "test_accuracy": f1 / 2,
            "test_precision": 0.3,
            "test_recall": 0.4,
            "test_macro_f1": f1,
            "test_ece": 0.1,
        }
        run.log(2, **tested, micro_batch=16 // (2 if cell.save_every else 1), seconds=1.5)
    (cell.out / "evaluation").mkdir()
    for name in study.EVALUATION:
        shutil.copy(RESULTS / name, cell.out / "evaluation" / name)
    (cell.out / "result.json").write_text("{}")


@pytest.fixture
def played(tmp_path, monkeypatch):
    trained = []

    def train(cell):
        trained.append(cell.out.name)
        if len(trained) == 14:
            raise KeyboardInterrupt
        finish(cell)

    def broken(cell, _):
        trained.append(f"{os.environ[FAULT]} {cell.memory_gb}")
        finish(cell)

    def baselines(_, out):
        shutil.copy(RESULTS / "baseline.csv", out / "baseline.csv")
        shutil.copy(RESULTS / "baseline.csv.seal.json", out / "baseline.csv.seal.json")

    monkeypatch.setattr(study, "train", train)
    monkeypatch.setattr(study, "supervise", broken)
    monkeypatch.setattr(study, "data_digest", lambda _: "aa" * 32)
    monkeypatch.setattr(study, "write_baselines", baselines)
    out = tmp_path / "hf_finetune" / "results"
    out.mkdir(parents=True)
    monkeypatch.setattr(study, "BASE", Config(epochs=2))
    return study.StudyConfig(memory_gb=3.0, seeds=3, runs=tmp_path / "runs", out=out), trained


def test_from_an_interrupted_sweep_to_sealed_tables_and_the_readme(played):
    config, trained = played
    readme = config.out.parent / "README.md"
    readme.write_text("".join(f"<!-- begin {m} -->\n<!-- end {m} -->\n" for m in ("results", "faults", "bench")))
    with pytest.raises(KeyboardInterrupt):
        study.main(config)
    finished = list(trained)[:-1]
    study.main(config)
    assert trained[14] == trained[13] and not set(finished) & set(trained[14:])
    assert (
        len(trained) == 1 + 8 + 4 + 3 * 4 - 3
    )  # candidates, broken ones, seeds; three arms have seed 0 among candidates
    assert [name for name in trained if "@" in name] == [f"{how}{study.WHERE} 3.0" for how in study.FAULTS.values()]
    assert os.environ.get(FAULT) is None
    assert {f.verdict for f in verify(config.out, recompute=True)} == {Verdict.UNTRUSTED_DEMO}
    runs = read_csv(config.out / "runs.csv")
    final = [row for row in runs if row["final"]]
    assert [row["arm"] for row in final if row["seed"] == 2] == list(ARMS)
    assert {(row["lr"], row["awp"], row["mixout"]) for row in final} == {
        (4e-4, awp, mixout) for awp in (0.0, 0.001) for mixout in (0.0, 0.6)
    }
    summary = read_csv(config.out / "summary.csv")
    assert [row["arm"] for row in summary] == list(ARMS) and [row["seeds"] for row in summary] == [3] * 4
    assert [row["gain_macro_f1"] for row in summary] == pytest.approx([0.0, 0.2, 0.1, 0.3])
    assert [row["p_value"] for row in summary] == [1.0, 0.25, 0.25, 0.25]
    assert summary[0]["worst_macro_f1"] == pytest.approx(0.5 + 4e-4)
    faults = read_csv(config.out / "faults.csv")
    assert [row["fault"] for row in faults] == list(study.FAULTS) and {row["micro_batch"] for row in faults} == {8}
    seeds = [0.01 * seed**2 for seed in range(3)]
    mean = sum(seeds) / 3
    deviation = (sum((each - mean) ** 2 for each in seeds) / 2) ** 0.5
    assert [row["off_in_sd"] for row in faults] == pytest.approx([-mean / deviation] * 4)
    assert {row["cell"] for row in read_csv(config.out / "curves.csv")} == {row["cell"] for row in final}
    assert "| +20.00 (0.2500) |" in between_marks(readme, "results")
    assert "a real RLIMIT_AS" in between_marks(readme, "faults")
    count = len(trained)
    study.collect(config)
    assert len(trained) == count


def test_a_cells_name_tells_all_that_varies():
    cells = [
        Config(lr=lr, awp=awp, mixout=p, seed=s)
        for lr in (1e-4, 2e-4)
        for awp in (0.0, 1e-3)
        for p in (0.0, 0.2)
        for s in (0, 1)
    ]
    assert len({study.cell_name(cell) for cell in cells}) == len(cells)
