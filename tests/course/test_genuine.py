"""A film is that of its recording: black frames, another length and another recording gain nothing."""

import random
from dataclasses import replace
from types import SimpleNamespace

import pytest
from PIL import Image

from shared.course.film import encoding, film, genuine, kept, recording, rendering, screenplay, timeline
from shared.course.film.cast import Cast, Event
from shared.course.grading import films, rubric
from shared.course.grading.outcomes import Context
from shared.course.project import digests
from shared.files import write_json

LIMITS = rubric.Limits(seconds=60, cpu_seconds=60, memory_gb=4, demo_key_share=0.5)


def take(play, said):
    """A recording in which each command prints a screen within a second."""
    events, at = [], 0.0
    for number, step in enumerate(play.steps):
        events += [Event(at, "m", f"{step.id} type"), Event(at + 1, "m", f"{step.id} run")]
        lines = "".join(f"{said} {number} {line}\r\n" for line in range(12))
        events += [Event(at + 1.5, "o", lines), Event(at + 2, "m", f"{step.id} done")]
        at += 3
    return Cast(recording.WIDTH, recording.HEIGHT, tuple(events))


@pytest.fixture
def toy_film(toy, demo_toml, monkeypatch):
    """Renders both films of a recording into build/; the tree keeps another if it is given."""
    (toy.folder / "demo.toml").write_text(demo_toml())
    play = screenplay.load(toy)
    whole = timeline.plan  # three scenes are enough: title, chapter, and what a command prints
    monkeypatch.setattr(
        timeline, "plan", lambda *about: (plan := whole(*about)) and replace(plan, scenes=plan.scenes[:3])
    )

    def render(shown, pictures=None):
        for edition in film.LENGTHS:
            plan = timeline.plan(play, shown, edition)
            drawn = rendering.Renderer(play, shown, toy.results).frames(plan)
            if pictures is not None:
                drawn = pictures(plan)
            encoding.encode(toy.build / f"{edition}.mp4", drawn, rendering.SIZE, ";FFMETADATA1\n")
        made = {"editions": {}, "sources": digests(toy, set(play.sources)), "commit": "ab" * 20, "changed": []}
        write_json(toy.build / film.RECEIPT, made)

    honest = take(play, "accuracy 0.851 loss 0.123 over all of the test questions")
    monkeypatch.setattr(film.recording, "record", lambda *_: honest)
    film.record(toy, play)
    kept.keep(toy, play)
    monkeypatch.setattr(films, "present", lambda _: True)
    return SimpleNamespace(project=toy, render=render, honest=honest, play=play)


def reasons(toy, folder):
    context = Context(toy, LIMITS, "HEAD", folder)
    return {check(context).reason for check in (films.length("demo"), films.chapters, films.captions, films.age)}


def test_the_recordings_own_film_is_genuine_wherever_one_looks(toy_film):
    toy_film.render(toy_film.honest)
    plan = timeline.plan(toy_film.play, toy_film.honest, "demo")
    renderer = rendering.Renderer(toy_film.play, toy_film.honest, toy_film.project.results)
    gaps = []
    for scene in plan.scenes:
        for frame in random.Random(0).sample(range(scene.start + 2, scene.start + scene.frames - 2), 4):
            seen = genuine.still(toy_film.project.build / "demo.mp4", frame)
            gaps.append(genuine.gap(seen, genuine.near(plan, frame, renderer)))
    assert max(gaps) < genuine.ALIKE / 2, gaps
    for edition in film.LENGTHS:
        assert genuine.difference(toy_film.project, edition, {}) == ""


def test_black_frames_gain_nothing(toy_film, tmp_path_factory):
    toy_film.render(toy_film.honest, lambda plan: iter([(Image.new("RGB", rendering.SIZE), plan.frames)]))
    (said,) = reasons(toy_film.project, tmp_path_factory.mktemp("s"))
    assert "is not the picture that the recording gives" in said


def test_another_recording_and_another_length_gain_nothing(toy_film, tmp_path_factory, monkeypatch):
    better = take(toy_film.play, "accuracy 0.999 loss 0.001 over everything that was ever asked, and more")
    toy_film.render(better)
    # Title and chapter are those of any recording: five places drawn at random may all be theirs in a film so short.
    monkeypatch.setattr(genuine.secrets, "randbits", lambda _: 0)
    found = genuine.difference(toy_film.project, "demo", {})
    assert "is not the picture" in found
    monkeypatch.setattr(encoding, "probe", lambda _: encoding.Film(400.0, ("a",) * 7, 1))
    (said,) = reasons(toy_film.project, tmp_path_factory.mktemp("s"))
    assert said.startswith("demo.mp4 lasts 400 s, its recording's film ")


def test_captions_that_say_nothing_gain_nothing(toy_film, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(encoding, "probe", lambda _: encoding.Film(400.0, ("a",) * 6, 1))
    monkeypatch.setattr(films, "forged", lambda _: "")
    toy_film.project.film.mkdir(exist_ok=True)
    toy_film.project.build.mkdir(parents=True, exist_ok=True)
    (toy_film.project.build / "demo.mp4").write_bytes(b"")
    for language, words in (("es", ". " * 300), ("en", "words that explain what is seen " * 40)):
        cue = f"1\n00:00:00,000 --> 00:06:39,500\n{words}\n"
        (toy_film.project.film / f"demo.{language}.srt").write_text(cue)
    context = Context(toy_film.project, LIMITS, "HEAD", tmp_path_factory.mktemp("s"))
    assert films.captions(context).reason.endswith("in: en")
