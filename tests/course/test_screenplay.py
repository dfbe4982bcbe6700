"""demo.toml: what is right is read, what is wrong ends in one line that says where."""

import pytest

from shared.course.film import screenplay
from shared.errors import UserError


def load(toy, text):
    (toy.folder / "demo.toml").write_text(text)
    return screenplay.load(toy)


def test_chapters_captions_and_numbers_are_read(toy):
    play = screenplay.load(toy)
    assert [chapter.id for chapter in play.chapters] == list(screenplay.CHAPTERS)
    assert play.steps[0].caption == {"es": "Exactitud 0.85", "en": "Exactitud 0.85"}
    assert (play.steps[0].id, play.steps[0].command, play.steps[0].exit) == ("problem/1", "echo hola", 0)


def test_the_film_depends_on_all_that_it_reads(toy, demo_toml):
    play = load(toy, demo_toml(step='figure = "figure.png"'))
    assert {"demo.toml", "project.toml", "results/summary.csv", "results/figure.png"} <= play.sources


def test_a_step_may_leave_the_trailer(toy, demo_toml):
    text = demo_toml().replace('id = "train"', 'id = "train"\ntrailer = true', 1)
    assert [step.id for step in load(toy, text).steps if step.trailer] == ["train/1"]
    text = text.replace('id = "test"', 'id = "test"\ntrailer = true').replace(
        'type = "echo hola"', 'type = "echo hola"\ntrailer = false', 2
    )
    assert [step.id for step in load(toy, text).steps if step.trailer] == ["train/1"]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda demo_toml: "title.es = 'x", "demo.toml: Expected"),
        (lambda demo_toml: "", "needs at least one \\[\\[chapter\\]\\]"),
        (lambda demo_toml: demo_toml().replace('id = "ablation"', 'id = "other"'), "expected are problem, test"),
        (lambda demo_toml: demo_toml(step=""), "either type or figure"),
        (lambda demo_toml: demo_toml(step='type = "a"\nfigure = "figure.png"'), "either type or figure"),
        (lambda demo_toml: demo_toml(step='figure = "../../demo.toml"'), "leaves results/"),
        (
            lambda demo_toml: demo_toml(step='figure = "nosuch.png"'),
            "chapter 'problem': step 1: nosuch.png: not in results/",
        ),
        (lambda demo_toml: demo_toml(step='type = "a\\nb"'), "a command is one line"),
        (lambda demo_toml: demo_toml(step='type = "a"\nuntil = "("'), "until is no pattern"),
        (lambda demo_toml: demo_toml(step='type = "a"\nshows = "["'), "shows is no pattern"),
        (lambda demo_toml: demo_toml(step='type = "a"\nlimit = -1'), "limit is -1, not a positive"),
        (lambda demo_toml: demo_toml(step='type = "a"\nlimit = inf'), "limit is inf, not a positive"),
        (lambda demo_toml: demo_toml(step='type = "a"\nexit = true'), "exit is True, not of type int"),
        (lambda demo_toml: demo_toml(step='type = "a"\nslep = 3'), "unknown key 'slep'"),
        (
            lambda demo_toml: demo_toml(caption="{results:summary.csv?method=x&column=accuracy}"),
            "step 1: caption: .*0 rows match",
        ),
        (lambda demo_toml: demo_toml().replace("caption.en", "caption.fr"), "needs a text in each of es, en"),
        (
            lambda demo_toml: demo_toml().replace("title.en = 'test'\n", "").replace('title.en = "test"\n', ""),
            "title needs",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(toy, demo_toml, broken, said):
    with pytest.raises(UserError, match=said) as caught:
        load(toy, broken(demo_toml))
    assert "\n" not in str(caught.value) and "demo.toml" in str(caught.value)


@pytest.mark.parametrize("name", ["demo.toml", "project.toml"])
def test_no_film_at_all(toy, name):
    (toy.folder / name).unlink()
    with pytest.raises(UserError, match=f"projects/toy/{name} is not there"):
        screenplay.load(toy)


VERIFIES = 'id = "integrity"\nrun = "runs/toy/film"\nflip = "checkpoints/*/w"\nwhat.es = "de w"\nwhat.en = "of w"'


def test_a_chapter_on_integrity_says_its_run_and_gets_its_steps(toy, demo_toml):
    own = load(toy, demo_toml()).chapters[5]
    play = load(toy, demo_toml().replace('id = "integrity"', VERIFIES))
    steps = play.chapters[5].steps
    assert [step.exit for step in steps] == [0, 11, 0] and steps[2].caption == own.steps[0].caption
    assert play.chapters[5].title == own.title, "the project's own title"
    assert steps[0].command == "python -m shared.course.film.flip runs/toy/film 'checkpoints/*/w'"
    assert steps[1].command == "python -m shared.fingerprint verify runs/toy/film"
    assert "un solo bit de w:" in steps[0].caption["es"] and "one bit of w:" in steps[0].caption["en"]
    assert not any("<" in step.command for step in steps)


def test_a_step_that_names_tests_is_the_templates_pytest(toy, demo_toml):
    text = demo_toml().replace('type = "echo hola"', "tests = \"tests/toy/test_a.py -k 'a or b'\"\nlook = 2", 2)
    play = load(toy, text.replace('type = "echo hola"', 'figure = "figure.png"'))
    (step,) = play.chapters[1].steps
    assert step.command == "python -m pytest -q tests/toy/test_a.py -k 'a or b'" and step.shows == "passed"
    assert (step.squeeze, step.look, step.limit) == (6, 2, 600), "what it says itself counts"
    untitled = text.replace('id = "test"\ntitle.es = "Capítulo test"\ntitle.en = "test"\n', 'id = "test"\n')
    assert load(toy, untitled).chapters[1].title == {"es": "Las pruebas, en vivo", "en": "The tests, live"}
    with pytest.raises(UserError, match="not paths of plain letters"):
        load(toy, text.replace("-k 'a or b'", "; rm -r x"))


def test_what_is_typed_into_the_shell_is_a_path(toy, demo_toml):
    for broken in (VERIFIES.replace("film", "film; rm"), VERIFIES.replace("*/w", "'), exit()")):
        with pytest.raises(UserError, match="not a path of plain letters"):
            load(toy, demo_toml().replace('id = "integrity"', broken))
