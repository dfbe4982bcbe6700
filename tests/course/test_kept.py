"""Recordings in the tree: each renders its film without a run, says its commit, and shows no old result."""

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shared.course.film import cast, film, kept, recording, screenplay, subtitles, timeline
from shared.course.film.cast import Cast, Event
from shared.course.project import ROOT, find, names
from shared.errors import UserError

PRIVATE = re.compile(r"/work|/tmp|/root|/home/|Looking in indexes|/simple/")
RECORDED = [name for name in names() if (find(name).film / kept.CAST).is_file()]
BEFORE = ("adapters", "rag_agent")  # recorded before their chapters on tests and integrity were kept short


def take(play):
    """A recording in which each command runs for a second."""
    events, at = [], 0.0
    for step in play.steps:
        events += [Event(at, "m", f"{step.id} type"), Event(at + 1, "m", f"{step.id} run")]
        events += [Event(at + 1.5, "o", "hola\r\n"), Event(at + 2, "m", f"{step.id} done")]
        at += 3
    return Cast(recording.WIDTH, recording.HEIGHT, tuple(events))


@pytest.fixture
def recorded(toy, demo_toml, monkeypatch):
    """The toy's screenplay, whose commands name its files, recorded into build/."""
    (toy.folder / "demo.toml").write_text(
        demo_toml(step='type = "cat projects/toy/results/summary.csv projects/toy/README.md"')
    )
    play = screenplay.load(toy)
    monkeypatch.setattr(film.recording, "record", lambda *_: take(play))
    film.record(toy, play)
    return toy


def test_a_recording_is_kept_with_its_commit_and_what_it_shows(recorded):
    play = screenplay.load(recorded)
    kept.keep(recorded, play)
    loaded = kept.load(recorded.film, recorded, play)
    assert loaded.terminal == take(play) and loaded.changed == ()
    assert re.fullmatch(r"[0-9a-f]{40}\+", loaded.commit), "its demo.toml is edited, and the commit says so"
    about = json.loads((recorded.film / kept.ABOUT).read_text())
    assert set(about["shows"]) == {"README.md", "results/summary.csv"}
    assert (recorded.film / kept.CAST).read_bytes()[4:8] == bytes(4), "no date goes in (RFC 1952, MTIME)"


def test_another_wording_needs_no_new_recording(recorded):
    text = (recorded.folder / "demo.toml").read_text()
    (recorded.folder / "demo.toml").write_text(text.replace("Exactitud", "La exactitud"))
    kept.load(recorded.build, recorded, screenplay.load(recorded))
    (recorded.folder / "demo.toml").write_text(text.replace("README.md", "README.md x", 1))
    with pytest.raises(UserError, match=r"a command changed since commit .* was recorded: make demo-toy ARGS=--keep"):
        kept.load(recorded.build, recorded, screenplay.load(recorded))


def test_results_that_changed_are_refused_and_other_files_are_named(recorded):
    play = screenplay.load(recorded)
    (recorded.folder / "README.md").write_text("# another\n")
    assert kept.load(recorded.build, recorded, play).changed == ("README.md",)
    (recorded.results / "summary.csv").write_text("another")
    with pytest.raises(UserError, match=r"^results/summary\.csv changed since commit"):
        kept.load(recorded.build, recorded, play)


def test_of_a_page_of_tables_only_those_count_that_are_shown(toy, demo_toml, monkeypatch):
    page = toy.results / "README.md"
    page.write_text("<!-- begin seen of a.csv -->\n1\n<!-- end seen -->\n<!-- begin other -->\n2\n<!-- end other -->\n")
    cut = "sed -n '/begin seen/,/end seen/p' projects/toy/results/README.md"
    (toy.folder / "demo.toml").write_text(demo_toml(step=f'type = "{cut}"'))
    play = screenplay.load(toy)
    monkeypatch.setattr(film.recording, "record", lambda *_: take(play))
    film.record(toy, play)
    page.write_text(page.read_text().replace("2", "3") + "more\n")
    assert kept.load(toy.build, toy, play).changed == ()
    page.write_text(page.read_text().replace("1", "4"))
    with pytest.raises(UserError, match=r"^results/README\.md#seen changed since commit"):
        kept.load(toy.build, toy, play)
    page.write_text("no table\n")
    with pytest.raises(UserError, match=r"^results/README\.md#seen changed since commit"):
        kept.load(toy.build, toy, play)


def test_no_recording_and_a_broken_one_end_in_one_line(recorded):
    play = screenplay.load(recorded)
    with pytest.raises(UserError, match="toy has no recording yet: make demo-toy ARGS=--keep"):
        kept.load(recorded.film, recorded, play)
    (recorded.build / kept.CAST).write_bytes(b"no gzip")
    with pytest.raises(UserError, match="cannot be read"):
        kept.load(recorded.build, recorded, play)


def test_a_large_or_a_private_recording_is_not_written(recorded, monkeypatch):
    play = screenplay.load(recorded)
    monkeypatch.setattr(kept, "LARGEST", 10)
    with pytest.raises(UserError, match="10 are allowed"):
        kept.save(recorded.film, recorded, play, take(play), {})
    monkeypatch.undo()
    shown = Cast(80, 24, (Event(0, "o", str(recorded.root)),))
    with pytest.raises(UserError, match="folder"):
        kept.save(recorded.film, recorded, play, shown, {})
    assert not recorded.film.exists()


def test_what_spoils_a_film_is_told_before_anything_is_recorded(toy, demo_toml, monkeypatch):
    monkeypatch.setattr(film.recording, "record", lambda *_: pytest.fail("recorded"))
    (toy.folder / "demo.toml").write_text(demo_toml(caption="palabra " * 60))
    with pytest.raises(UserError, match="two fit"):
        film.demo(toy)
    (toy.folder / "demo.toml").write_text(demo_toml(step='type = "echo hola"\ntrailer = true'))
    with pytest.raises(UserError, match=r"the demo would last \d+ to \d+ s, 360 to 600 s are asked for"):
        film.demo(toy)


def test_a_caption_that_is_gone_before_it_is_read_is_refused(toy, monkeypatch):
    play = screenplay.load(toy)
    plan = timeline.plan(play, take(play), "demo")
    film.check_reading(plan)
    monkeypatch.setattr(film, "SECONDS_A_WORD", 1.0)
    with pytest.raises(UserError, match=r"'Exactitud 0.85' stands for \d+.\d s, 15.0 s at least"):
        film.check_reading(plan)


def test_no_caption_ends_in_a_word_alone():
    """Forty-three characters fill one line of 42 and leave one word: they become two lines of like length."""
    lines = subtitles.balanced("una frase que tiene cuarenta y tres letras, x")
    assert len(lines) == 2 and abs(len(lines[0]) - len(lines[1])) < 12


def test_bounds_hold_for_whatever_is_printed(toy):
    play = screenplay.load(toy)
    least, most = timeline.bounds(play, "demo")
    assert least <= timeline.plan(play, take(play), "demo").seconds <= most
    endless = Cast(80, 24, tuple(Event(9e3 * each.at, each.kind, each.data) for each in take(play).events))
    runs = sum(scene.run_to - scene.run_from for scene in timeline.plan(play, endless, "demo").scenes) / timeline.RATE
    assert runs <= sum(step.squeeze for step in play.steps) + 1, "a run is compressed to its screenplay's time"


# ---------------------------------------------------------------- the recordings of the tree


@pytest.mark.parametrize("name", names())
def test_every_screenplay_can_have_its_length(name):
    play = film.rehearsed(find(name))  # what does not fit is raised
    assert [chapter.id for chapter in play.chapters] == list(screenplay.CHAPTERS)


@pytest.mark.parametrize("name", [name for name in names() if name not in BEFORE])
def test_what_all_films_share_takes_45_seconds_at_most(name):
    play = screenplay.load(find(name))
    assert {"test", "integrity"} == set(film.TEMPLATED) and film.TEMPLATED_SECONDS == 45
    assert max(timeline.longest_chapter(play, chapter) for chapter in film.TEMPLATED) <= film.TEMPLATED_SECONDS


def test_a_film_that_lingers_in_what_all_share_is_refused_before_it_is_recorded(toy, demo_toml, monkeypatch):
    play = screenplay.load(toy)
    film.check_templated(play)
    monkeypatch.setattr(film, "TEMPLATED_SECONDS", 1)
    with pytest.raises(UserError, match=r"the chapter 'test' may last \d+ s, 1 are allowed"):
        film.check_templated(play)


@pytest.mark.parametrize("name", names())
def test_the_mistakes_that_a_film_shows_still_say_what_it_waits_for(name):
    """They come late in a recording: one whose message has changed would spoil the long run before it."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    mistakes = [step for step in screenplay.load(find(name)).chapters[4].steps if step.exit == 2]
    for step in mistakes:
        done = subprocess.run(
            ["bash", "-c", step.command],
            cwd=ROOT,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=step.limit,
            check=False,
        )
        assert done.returncode == 2 and re.search(step.shows, done.stderr), done.stderr
    assert mistakes


@pytest.mark.parametrize("name", RECORDED)
def test_every_recording_gives_its_film_and_the_captions_beside_it(name):
    project = find(name)
    play = screenplay.load(project)
    loaded = kept.load(project.film, project, play)
    for edition, plan in film.check(play, loaded.terminal).items():
        for language in screenplay.LANGUAGES:
            cues = subtitles.cues(plan, language)
            assert film.captions(project, edition, language, "srt").read_text() == subtitles.srt(cues)
    assert re.fullmatch(r"[0-9a-f]{40}", loaded.commit), "a clean commit"


@pytest.mark.parametrize("name", RECORDED)
def test_no_recording_shows_a_place_of_a_machine(name):
    packed = (find(name).film / kept.CAST).read_bytes()
    assert len(packed) <= 300_000
    text = "".join(each.data for each in cast.parse(gzip.decompress(packed).decode(), name).events)
    assert not PRIVATE.search(text)


@pytest.mark.parametrize("name", names())
def test_each_readme_shows_its_films_poster_and_the_command_that_makes_the_film(name):
    project = find(name)
    assert (project.film / "poster.png").stat().st_size <= 100_000
    for page in ("README.md", "README.es.md"):
        text = (project.folder / page).read_text(encoding="utf-8")
        assert "(film/poster.png)](film)" in text and f"`make film-{name}`" in text
