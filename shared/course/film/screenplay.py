"""demo.toml: what a recording types, waits for and says. Malformed files end in one line that says where.

[[chapter]]
id = "train"                          one of CHAPTERS; each has to be there once
title.es = "…"
trailer = true                        the short film shows these chapters
[[chapter.step]]
caption.es = "… {results:summary.csv?…}"
type = "make run-lora"                a command; or figure = "x.png", a picture of results/
until = "epoch 3"                     optional: wait for this pattern; a command that then still runs gets Ctrl-C
limit = 60                            seconds until the step has failed
exit = 11                             the exit code that is expected, else 0
squeeze = 8                           seconds of film that the command's run may take; more is compressed
look = 10                             seconds at most to look at what was printed
trailer = false                       leaves this step out of the short film

[[chapter.step]]
tests = "tests/lora/test_lora.py"     instead of a command: pytest on these, as chapters.toml says

[[chapter]]
id = "integrity"                      with run and flip its first steps are those of chapters.toml:
run = "runs/lora/film"                one bit of a file flipped, and found by the verification
flip = "checkpoints/*/model.safetensors"
what.es = "de los pesos guardados"

The title card that opens the film is in project.toml, beside what others must know of the project.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.course import values
from shared.course.project import Project, inside
from shared.errors import UserError

LANGUAGES = ("es", "en")
SQUEEZE = 8.0  # seconds of film for a run, unless the step says otherwise
LOOK = 10.0  # seconds of film in which what was printed is looked at, likewise
TEMPLATES = Path(__file__).with_name("chapters.toml")
SAFE = re.compile(r"[A-Za-z0-9_*./-]+")  # it is typed into a shell
SAFE_TESTS = re.compile(r"[\w./* -]+( '[\w ]+')?")  # paths, and -k 'names' at their end
CHAPTERS = ("problem", "test", "train", "result", "ablation", "integrity", "summary")

Bilingual = dict[str, str]


@dataclass(frozen=True)
class Step:
    """One thing that the film shows: a command with what it prints, or a figure, under one caption.

    Attributes:
        id: "<chapter>/<number from 1>".
        caption: By language, numbers resolved.
        command: What is typed, or "".
        figure: File name in results/, or "".
        until: Pattern that has to be printed; then a command that still runs is interrupted. "" waits for the prompt.
        shows: Pattern that the whole output has to contain, or "".
        limit: Seconds until the wait has failed.
        exit: Expected exit code.
        squeeze: Seconds of film that the run may take.
        trailer: Whether the short film shows it.
        look: Seconds at most in which what was printed is looked at.
    """

    id: str
    caption: Bilingual
    command: str
    figure: str
    until: str
    shows: str
    limit: float
    exit: int
    squeeze: float
    trailer: bool
    look: float = LOOK


@dataclass(frozen=True)
class Chapter:
    """A titled sequence of steps."""

    id: str
    title: Bilingual
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Screenplay:
    """A whole demo.toml, with every number resolved.

    Attributes:
        title: The film's, by language.
        subtitle: What is shown, in a line, by language.
        chapters: In the order of the film.
        sources: Files of the project that captions, cards and figures read: when one changes, the film is out of date.
    """

    title: Bilingual
    subtitle: Bilingual
    chapters: tuple[Chapter, ...]
    sources: frozenset[str]

    @property
    def steps(self) -> list[Step]:
        """Every step, in order."""
        return [step for chapter in self.chapters for step in chapter.steps]


def read_toml(project: Project, name: str) -> tuple[dict[str, Any], str]:
    """A project's demo.toml or project.toml parsed, and its text.

    Raises:
        UserError: If it is not there or no TOML; the parser's line and column are quoted.
    """
    path = project.folder / name
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text), text
    except FileNotFoundError:
        raise UserError(f"projects/{project.name}/{name} is not there") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"projects/{project.name}/{name}: {error}") from None


def load(project: Project) -> Screenplay:
    """Read, check and resolve a project's demo.toml.

    Raises:
        UserError: If it is malformed, lacks a chapter, or a number cannot be resolved.
    """
    raw, text = read_toml(project, "demo.toml")
    about, about_text = read_toml(project, "project.toml")
    where = f"projects/{project.name}/demo.toml"
    chapters = tuple(_chapter(_filled(each, where), where, project) for each in _list(raw, "chapter", where))
    found = [chapter.id for chapter in chapters]
    if found != list(CHAPTERS):
        raise UserError(f"{where}: the chapters are {', '.join(found)}; expected are {', '.join(CHAPTERS)}")
    figures = {f"results/{step.figure}" for chapter in chapters for step in chapter.steps if step.figure}
    return Screenplay(
        title=_bilingual(about, "title", f"projects/{project.name}/project.toml", project),
        subtitle=_bilingual(about, "subtitle", f"projects/{project.name}/project.toml", project),
        chapters=chapters,
        sources=frozenset(values.sources(text) | values.sources(about_text) | figures | {"demo.toml", "project.toml"}),
    )


def _filled(raw: dict[str, Any], where: str) -> dict[str, Any]:
    """A chapter with what chapters.toml knows of it: steps that run tests, and those that verify a run."""
    text = TEMPLATES.read_text(encoding="utf-8")
    if "run" in raw:
        return _verified(raw, text, where)
    steps = raw.get("step")
    if not isinstance(steps, list) or not any("tests" in step for step in steps if isinstance(step, dict)):
        return raw
    template = tomllib.loads(text)["tests"]
    title = template.pop("title")
    return {"title": title, **raw, "step": [_tested(step, template, where) for step in steps]}


def _tested(step: Any, template: dict[str, Any], where: str) -> Any:
    """A step that names tests, as the template's pytest."""
    if not isinstance(step, dict) or "tests" not in step:
        return step
    if not SAFE_TESTS.fullmatch(tests := _typed(step, "tests", str, where)):
        raise UserError(f"{where}: tests is {tests!r}, not paths of plain letters")
    own = {key: value for key, value in step.items() if key != "tests"}
    return {**template, "type": template["type"].replace("<tests>", tests), **own}


def _verified(raw: dict[str, Any], text: str, where: str) -> dict[str, Any]:
    """A chapter that says which run it verifies, with the template's steps before its own."""
    for key in ("run", "flip"):
        if not SAFE.fullmatch(_typed(raw, key, str, where)):
            raise UserError(f"{where}: {key} is {raw[key]!r}, not a path of plain letters")
    said = {f"what.{language}": text for language, text in _typed(raw, "what", dict, where).items()}
    for key, value in {"run": raw["run"], "flip": raw["flip"], **said}.items():
        text = text.replace(f"<{key}>", value)
    template = tomllib.loads(text)["integrity"]
    own = {key: value for key, value in raw.items() if key not in ("run", "flip", "what")}
    return {**template, **own, "step": [*template["step"], *own.get("step", [])]}


def _chapter(raw: dict[str, Any], where: str, project: Project) -> Chapter:
    name = _typed(raw, "id", str, where)
    where = f"{where}: chapter {name!r}"
    _only(raw, {"id", "title", "trailer", "step"}, where)
    trailer = _typed(raw, "trailer", bool, where, default=False)
    steps = tuple(
        _step(each, f"{name}/{number}", where, project, trailer)
        for number, each in enumerate(_list(raw, "step", where), start=1)
    )
    return Chapter(name, _bilingual(raw, "title", where, project), steps)


def _step(raw: dict[str, Any], name: str, where: str, project: Project, trailer: bool) -> Step:
    where = f"{where}: step {name.rpartition('/')[2]}"
    _only(raw, {"caption", "type", "figure", "until", "shows", "limit", "exit", "squeeze", "look", "trailer"}, where)
    command, figure = _typed(raw, "type", str, where, default=""), _typed(raw, "figure", str, where, default="")
    if bool(command) == bool(figure):
        raise UserError(f"{where}: either type or figure is needed")
    if any(ord(character) < 32 for character in command):
        raise UserError(f"{where}: a command is one line")
    if figure:
        try:
            inside(project.results, figure)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
    return Step(
        id=name,
        caption=_bilingual(raw, "caption", where, project),
        command=command,
        figure=figure,
        until=_pattern(raw, "until", where),
        shows=_pattern(raw, "shows", where),
        limit=_positive(raw, "limit", 60.0, where),
        exit=_typed(raw, "exit", int, where, default=0),
        squeeze=_positive(raw, "squeeze", SQUEEZE, where),
        trailer=_typed(raw, "trailer", bool, where, default=trailer),
        look=_positive(raw, "look", LOOK, where),
    )


def _bilingual(raw: dict[str, Any], key: str, where: str, project: Project) -> Bilingual:
    texts = _typed(raw, key, dict, where)
    if sorted(texts) != sorted(LANGUAGES) or not all(isinstance(t, str) and t.strip() for t in texts.values()):
        raise UserError(f"{where}: {key} needs a text in each of {', '.join(LANGUAGES)}")
    try:
        return {language: values.resolve(" ".join(texts[language].split()), project.results) for language in LANGUAGES}
    except UserError as error:
        raise UserError(f"{where}: {key}: {error}") from None


def _list(raw: dict[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    found = raw.get(key)
    if not isinstance(found, list) or not found or not all(isinstance(each, dict) for each in found):
        raise UserError(f"{where}: needs at least one [[{key}]]")
    return found


def _typed(raw: dict[str, Any], key: str, kind: type, where: str, default: Any = None) -> Any:
    value = raw.get(key, default)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"{where}: {key} is {value!r}, not of type {kind.__name__}")
    return value


def _pattern(raw: dict[str, Any], key: str, where: str) -> str:
    text = _typed(raw, key, str, where, default="")
    try:
        re.compile(text)
    except re.error as error:
        raise UserError(f"{where}: {key} is no pattern: {error}") from None
    return text


def _positive(raw: dict[str, Any], key: str, default: float, where: str) -> float:
    value = raw.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise UserError(f"{where}: {key} is {value!r}, not a positive number of seconds")
    return float(value)


def _only(raw: dict[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(raw.keys() - known)
    if unknown:
        raise UserError(f"{where}: unknown key {unknown[0]!r}")
