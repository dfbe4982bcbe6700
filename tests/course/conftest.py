"""A project of a few files in a folder of its own: enough for a film, a notebook, a grade and a card."""

import os
import subprocess

import pytest
from PIL import Image

from shared.course.film.screenplay import CHAPTERS
from shared.course.project import Project

SUMMARY = 'method,accuracy,accuracy_sd,seeds\n"ours, r = 2",0.93456,0.00321,3\nbaseline,0.8512,0.0111,3\n'
RUNS = (
    "cell,method,seed,final,accuracy\n"
    "a0,ours,0,1,0.93\na1,ours,1,1,0.94\na2,ours,2,1,0.93368\nb0,base,0,1,0.85\nz,ours,9,0,0.5\n"
)
NOTEBOOK = """# %% [markdown]
# # Un juguete

# %%
from pathlib import Path
import csv
from shared.course.cells import Number, Table
rows = list(csv.DictReader((Path("projects/toy/results") / "summary.csv").open()))

# %%
Table(("m", "a"), tuple((r["method"], Number(r["method"], float(r["accuracy"]), ".3f")) for r in rows))
"""
PROJECT = """title.es = "Juguete"
title.en = "Toy"
subtitle.es = "uno"
subtitle.en = "one"
brief = ["models/toy.py"]
packages = []

[card]
question.es = "¿Qué?"
question.en = "What?"
metric.es = "exactitud"
metric.en = "accuracy"
value = "{results:summary.csv?method=ours, r = 2&column=accuracy|.3f}"
interval = "± {results:summary.csv?method=ours, r = 2&column=accuracy_sd|.3f}"
baseline_name.es = "base"
baseline_name.en = "base"
baseline = "{results:summary.csv?method=baseline&column=accuracy|.3f}"
time.es = "1 s"
time.en = "1 s"
figure = "figure.png"
shows.es = "una semilla"
shows.en = "one seed"
"""


def write_toml(
    step='type = "echo hola"', caption="Exactitud {results:summary.csv?method=baseline&column=accuracy|.2f}"
):
    """A screenplay in which every chapter has the one step."""
    text = ""
    for name in CHAPTERS:
        text += f'[[chapter]]\nid = "{name}"\ntitle.es = "Capítulo {name}"\ntitle.en = "{name}"\n'
        text += f"[[chapter.step]]\ncaption.es = '{caption}'\ncaption.en = '{caption}'\n{step}\n"
    return text


@pytest.fixture
def demo_toml():
    """Writes a screenplay."""
    return write_toml


@pytest.fixture
def toy(tmp_path):
    """The project, in the working tree of a git repository of its own."""
    project = Project("toy", tmp_path)
    project.results.mkdir(parents=True)
    (tmp_path / "shared").mkdir()
    (tmp_path / "tests" / "toy").mkdir(parents=True)
    (project.folder / "__main__.py").write_text("")
    (project.folder / "notebook.py").write_text(NOTEBOOK)
    (project.folder / "demo.toml").write_text(write_toml())
    (project.folder / "project.toml").write_text(PROJECT)
    (project.folder / "README.md").write_text("# toy\n\n| ours, r = 2 | 0.9346 ± 0.0032 |\n")
    (project.folder / "exercises.md").write_text("# Ejercicios\n")
    (project.results / "summary.csv").write_text(SUMMARY)
    (project.results / "runs.csv").write_text(RUNS)
    Image.new("RGB", (80, 40), (200, 30, 30)).save(project.results / "figure.png")
    (tmp_path / "tests" / "toy" / "test_toy.py").write_text("def test_a(): pass\n\n\ndef test_b(): pass\n")
    (tmp_path / "tests" / "toy" / "test_exercises.py").write_text("def test_answer(): pass\n")
    commit(tmp_path)
    return project


def commit(root):
    """Everything in the folder as a commit; no identity or hook of this machine plays a part."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "core.hooksPath=/dev/null"]
    for words in (["init", "-q", "."], ["add", "-A"], [*identity, "commit", "-q", "-m", "x", "--allow-empty"]):
        subprocess.run(["git", *words], cwd=root, env=environment, check=True)
