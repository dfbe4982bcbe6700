"""Plan, captions, pictures and the file: times add up, compressed time says so, equal input gives equal frames."""

import hashlib
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image, features

from shared.course.film import cast, encoding, film, narration, rendering, subtitles, timeline
from shared.course.film.cast import Cast
from shared.course.film.screenplay import Chapter, Screenplay, Step
from shared.course.film.timeline import RATE
from shared.errors import UserError

TINY = Path(__file__).with_name("tiny.cast")
FREETYPE = "2.14.3"  # the rasteriser of the pinned Pillow: another one may draw an edge otherwise
CELLS = "1c0eda3c4231d3a32378dcb2353f8f41e6b83c82f35024c39e8cfb0cc9edd54b"
FRAMES = "3dfbfe7f51ff444f7cec24140cc8d8bba0dccbf0b5bdc9c81a8d6bcaaf37f555"


def step(name="train/1", caption="Una cosa por pantalla, y <b> & nada más.", **changed):
    values = {
        "command": "ls",
        "figure": "",
        "until": "",
        "shows": "",
        "limit": 9.0,
        "exit": 0,
        "squeeze": 3.0,
        "trailer": True,
    }
    return Step(id=name, caption={"es": caption, "en": caption.upper()}, **{**values, **changed})


def play(*steps):
    chapter = Chapter("train", {"es": "Entrenar; #1", "en": "Train"}, steps or (step(),))
    return Screenplay({"es": "Juguete", "en": "Toy"}, {"es": "uno", "en": "one"}, (chapter,), frozenset())


@pytest.fixture
def tiny():
    return cast.parse(TINY.read_text(encoding="utf-8"), TINY.name)


def test_scenes_follow_each_other_without_gap(tiny):
    plan = timeline.plan(play(), tiny, "demo")
    assert [scene.kind for scene in plan.scenes] == ["title", "chapter", "terminal"]
    for before, after in pairwise(plan.scenes):
        assert after.start == before.start + before.frames
    assert plan.seconds * RATE == plan.frames


def test_a_long_run_is_compressed_by_a_whole_factor_and_a_short_one_is_not(tiny):
    """30 s in at most 3 s of film: ten times; the picture between keeps the recording's order."""
    (scene,) = (s for s in timeline.plan(play(), tiny, "demo").scenes if s.kind == "terminal")
    assert scene.speed == 10 and (scene.run_to - scene.run_from) / RATE == pytest.approx(3.0, abs=0.1)
    assert [w.data for w in scene.writes if w.data in ("l", "s", "\r\n")] == ["l", "s", "\r\n"]
    frames = [write.frame for write in scene.writes]
    assert frames == sorted(frames) and frames[-1] < scene.frames


def test_a_run_that_prints_is_not_compressed_and_silence_is(tiny):
    """27 s without a word would be an empty picture: at most three seconds of it are shown."""
    (scene,) = (s for s in timeline.plan(play(step(squeeze=60.0)), tiny, "demo").scenes if s.kind == "terminal")
    assert scene.speed == 9 and (scene.run_to - scene.run_from) / RATE == pytest.approx(30 / 9, abs=0.1)
    dots = [type(tiny.events[0])(float(second), "o", ".") for second in range(4, 30)]
    talking = Cast(tiny.width, tiny.height, tuple(sorted([*tiny.events, *dots], key=lambda event: event.at)))
    (scene,) = (s for s in timeline.plan(play(step(squeeze=60.0)), talking, "demo").scenes if s.kind == "terminal")
    assert scene.speed == 1 and (scene.run_to - scene.run_from) / RATE == pytest.approx(30.0, abs=0.1)


def test_a_caption_stands_long_enough_to_be_read(tiny):
    long = "palabras " * 20
    (scene,) = (s for s in timeline.plan(play(step(caption=long)), tiny, "demo").scenes if s.step)
    assert scene.seconds >= len(long.strip()) / timeline.READING
    (spoken,) = (s for s in timeline.plan(play(), tiny, "demo", {"train/1": 40.0}).scenes if s.step)
    assert spoken.seconds >= 40


def test_the_trailer_is_the_marked_steps_without_chapter_cards(tiny):
    both = play(step("train/2", figure="a.png", command="", trailer=False), step())
    plan = timeline.plan(both, tiny, "trailer")
    assert [scene.step and scene.step.id for scene in plan.scenes] == [None, "train/1"]
    assert len(timeline.plan(both, tiny, "demo").scenes) == 4


def test_a_recording_of_another_screenplay_is_refused(tiny):
    with pytest.raises(UserError, match="no step train/2: record it again"):
        timeline.plan(play(step("train/2")), tiny, "demo")
    with pytest.raises(UserError, match="lacks the marker 'run'"):
        timeline.split(Cast(9, 9, tuple(e for e in tiny.events if e.data != "train/1 run")))


def seconds(clock):
    hours, minutes, rest = clock.replace(",", ".").split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(rest)


@pytest.mark.parametrize("write", [subtitles.srt, subtitles.vtt])
def test_captions_cover_their_scenes_in_order(tiny, write):
    plan = timeline.plan(play(step(caption="siete palabras por cada una de las líneas " * 6)), tiny, "demo")
    text = write(subtitles.cues(plan, "es"))
    spans = [(seconds(a), seconds(b)) for a, b in re.findall(r"(\S+) --> (\S+)", text)]
    scene = plan.scenes[-1]
    assert len(spans) > 1 and spans[0][0] == pytest.approx(scene.start / RATE, abs=0.001)
    assert spans[-1][1] == pytest.approx(plan.seconds, abs=0.001)
    assert all(a < b for a, b in spans) and all(x[1] == y[0] for x, y in pairwise(spans))
    assert max(map(len, text.splitlines())) <= subtitles.LINE


def test_markup_in_captions_is_text(tiny):
    plan = timeline.plan(play(), tiny, "demo")
    assert "<b> &" in subtitles.srt(subtitles.cues(plan, "es"))
    vtt = subtitles.vtt(subtitles.cues(plan, "es"))
    assert "&lt;b&gt; &amp;" in vtt and "<b>" not in vtt and vtt.startswith("WEBVTT\n\n00:00:")


def cell_digest(tiny):
    """What the terminal holds at its end, cell by cell: independent of any font."""
    terminal = rendering.Terminal(tiny.width, tiny.height)
    for event in tiny.events:
        if event.kind == "o":
            terminal.write(event.data)
    rows = [[terminal.screen.buffer[y][x] for x in range(tiny.width)] for y in range(tiny.height)]
    return hashlib.sha256(repr([[tuple(char) for char in row] for row in rows]).encode()).hexdigest()


def test_the_terminal_understands_the_recording(tiny):
    terminal = rendering.Terminal(tiny.width, tiny.height)
    terminal.write("".join(event.data for event in tiny.events if event.kind == "o"))
    assert [line.rstrip() for line in terminal.screen.display] == [
        "$ ls",
        "rojo inverso ñ✓ verde",
        "┏━━┓",
        "┗━━┛",
        "$",
        "",
    ]
    assert terminal.screen.buffer[1][0].fg == "red" and terminal.screen.buffer[1][5].reverse
    assert terminal.screen.buffer[1][16].fg == "0ac81e"


def frames(tiny, folder=Path("/nonexistent")):
    plan = timeline.plan(play(), tiny, "demo")
    return rendering.Renderer(play(), tiny, folder).frames(plan), plan


def test_the_same_cast_gives_the_same_frames(tiny):
    one, plan = frames(tiny)
    total, digest, count = 0, hashlib.sha256(), 0
    for picture, times in one:
        assert picture.size == rendering.SIZE and times > 0
        digest.update(f"{picture.size} {times} ".encode() + picture.tobytes())
        total, count = total + times, count + 1
    assert total == plan.frames and count < total / 4, "a picture is drawn only when it differs"
    assert rendering.digest(frames(tiny)[0]) == digest.hexdigest()
    assert cell_digest(tiny) == CELLS
    if features.version("freetype2") == FREETYPE:
        assert digest.hexdigest() == FRAMES


def test_one_changed_character_changes_the_frames(tiny):
    other = Cast(tiny.width, tiny.height, tuple(
        type(e)(e.at, e.kind, e.data.replace("rojo", "roja")) for e in tiny.events
    ))  # fmt: skip
    assert rendering.digest(frames(other)[0]) != rendering.digest(frames(tiny)[0])


def test_compressed_time_says_so_in_the_picture(tiny):
    shown, plan = frames(tiny)
    scene = plan.scenes[-1]
    at, with_badge = 0, []
    for picture, count in shown:
        corner = picture.crop((rendering.SIZE[0] - 300, rendering.TERMINAL_TOP, rendering.SIZE[0], 180))
        if any(colour == rendering.BADGE for _, colour in corner.getcolors(100_000)):
            with_badge.append((at - scene.start, at + count - scene.start))
        at += count
    assert with_badge[0][0] == scene.run_from and with_badge[-1][1] == scene.run_to


def test_no_text_is_smaller_than_can_be_read(tiny):
    with pytest.raises(ValueError, match="below the 22 px"):
        rendering.font("DejaVuSans", 21)
    sizes = [getattr(rendering, name) for name in dir(rendering) if name.endswith("_SIZE")]
    assert min(sizes) >= rendering.SMALLEST == 22


def test_what_does_not_fit_the_picture_is_refused(tiny):
    with pytest.raises(UserError, match=r"train/1: the caption in 'es' needs \d+ lines"):
        rendering.Renderer(play(step(caption="palabra " * 60)), tiny, Path())
    with pytest.raises(UserError, match="does not fit the picture"):
        rendering.Renderer(play(), Cast(200, 24, ()), Path())


def test_a_listing_longer_than_the_screen_is_told(tiny):
    assert rendering.scrolled_away(play(step(squeeze=8.0)), tiny) == []
    low = Cast(tiny.width, 4, tiny.events)
    assert rendering.scrolled_away(play(step(squeeze=8.0)), low) == ["train/1"]
    assert rendering.scrolled_away(play(step(squeeze=20.0)), low) == [], "of a long run the end is what counts"


def test_a_figure_fills_its_room_and_keeps_its_shape(tiny, tmp_path):
    Image.new("RGB", (100, 50), (200, 30, 30)).save(tmp_path / "a.png")
    shown = play(step(figure="a.png", command=""))
    pictures = list(rendering.Renderer(shown, tiny, tmp_path).frames(timeline.plan(shown, tiny, "demo")))
    red = pictures[-1][0].point(lambda value: 255 if value > 190 else 0).getchannel("R")
    box = Image.merge("L", [red]).crop((0, rendering.TERMINAL_TOP, 1920, rendering.CAPTION_TOP)).getbbox()
    assert (box[2] - box[0]) / (box[3] - box[1]) == pytest.approx(2, rel=0.01)


def test_a_film_shows_the_spanish_figure_where_there_is_one(tiny, tmp_path):
    Image.new("RGB", (100, 50), (30, 200, 30)).save(tmp_path / "a.png")
    Image.new("RGB", (100, 50), (200, 30, 30)).save(tmp_path / "a.es.png")
    shown = play(step(figure="a.png", command=""))
    pictures = list(rendering.Renderer(shown, tiny, tmp_path).frames(timeline.plan(shown, tiny, "demo")))
    centre = pictures[-1][0].getpixel((960, (rendering.TERMINAL_TOP + rendering.CAPTION_TOP) // 2))
    assert centre == (200, 30, 30)


def test_the_film_has_its_length_its_chapters_and_no_trace_when_it_fails(tiny, tmp_path):
    plan = timeline.plan(play(), tiny, "demo")
    small = [(Image.new("RGB", (64, 36), (i % 200, 0, 0)), 6) for i in range(plan.frames // 6)]
    encoding.encode(tmp_path / "a.mp4", iter(small), (64, 36), subtitles.ffmetadata(plan, "Título; = #"))
    found = encoding.probe(tmp_path / "a.mp4")
    assert found.seconds == pytest.approx(6 * len(small) / RATE, abs=0.1)
    assert found.chapters == ("Entrenar; #1",) and found.size == (tmp_path / "a.mp4").stat().st_size

    def broken():
        yield small[0]
        raise UserError("no figure")

    with pytest.raises(UserError, match="no figure"):
        encoding.encode(tmp_path / "b.mp4", broken(), (64, 36), "")
    with pytest.raises(UserError, match="ffmpeg ended with"):
        encoding.encode(tmp_path / "c.mp4", iter(small), (64, 36), "not metadata")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4"]


def test_what_is_no_video(tmp_path):
    with pytest.raises(UserError, match=r"a\.mp4 is not there"):
        encoding.probe(tmp_path / "a.mp4")
    (tmp_path / "a.mp4").write_text("text")
    with pytest.raises(UserError, match="no video that ffmpeg can read"):
        encoding.probe(tmp_path / "a.mp4")


def test_a_film_of_the_wrong_length_is_refused():
    film.check_length("demo", 400)
    for edition, length in (("demo", 359), ("demo", 601), ("trailer", 59), ("trailer", 91)):
        with pytest.raises(UserError, match=f"the {edition} lasts {length} s"):
            film.check_length(edition, length)


def test_narration_needs_its_program_and_puts_each_voice_at_its_scene(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="--narrate needs espeak-ng"):
        narration.speak(play(), tmp_path / "voice")
    import sys
    import wave

    fake = tmp_path / "espeak-ng"
    fake.write_text(
        f"#!{sys.executable}\nimport sys, wave\nout = wave.open(sys.argv[sys.argv.index('-w') + 1], 'wb')\n"
        "out.setparams((1, 2, 8000, 0, 'NONE', ''))\nout.writeframes(b'\\1\\1' * 4000)\nout.close()\n"
    )
    fake.chmod(0o755)
    assert narration.speak(play(), tmp_path / "voice") == {"train/1": 0.5}
    plan = timeline.plan(play(), tiny, "demo", {"train/1": 0.5})
    narration.track(plan, tmp_path / "voice", tmp_path / "all.wav")
    with wave.open(str(tmp_path / "all.wav")) as sound:
        data = sound.readframes(sound.getnframes())
        assert sound.getnframes() == plan.frames * 8000 // RATE
    assert data.index(b"\1\1") == plan.scenes[-1].start * 8000 // RATE * 2 and data.count(b"\1\1") == 4000
    encoding.encode(
        tmp_path / "a.mp4", iter([(Image.new("RGB", (64, 36)), 24)]), (64, 36), ";FFMETADATA1\n", tmp_path / "all.wav"
    )
    said = subprocess.run([encoding.ffmpeg(), "-i", str(tmp_path / "a.mp4")], capture_output=True, text=True).stderr
    assert "Audio: aac" in said and "Video: h264" in said
