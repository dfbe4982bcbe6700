"""The draw, the two kinds of answer, the sheet, and what an expression may not do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.course.exercises import Draw, Exercise, Expression, Number, Sheet
from shared.course.exercises.__main__ import Arguments
from shared.course.exercises.__main__ import main as command
from shared.course.exercises.declared import read_exercises
from shared.course.exercises.expressions import evaluate
from shared.errors import UserError
from shared.fingerprint.course import new_course_key


def test_a_draw_depends_on_team_and_exercise_only():
    assert [Draw("quipu", "a").integer(0, 10**9) for _ in range(2)] == [392379785] * 2
    assert Draw(" Quipu ", "a").integer(0, 10**9) == Draw("quipu", "a").integer(0, 10**9)
    assert len({Draw(t, e).integer(0, 10**9) for t in ("quipu", "ayni") for e in ("a", "b")}) == 4
    # The separator cannot be shifted from the team's name to the exercise's.
    assert Draw("ab", "c").integer(0, 10**9) != Draw("a", "bc").integer(0, 10**9)


@given(low=st.integers(-50, 50), width=st.integers(0, 50), step=st.integers(1, 7), team=st.text(max_size=5))
def test_drawn_numbers_are_in_their_range(low, width, step, team):
    drawn = Draw(team, "x").integer(low, low + width, step)
    assert low <= drawn <= low + width and (drawn - low) % step == 0


def test_every_value_of_a_range_is_drawn():
    assert {Draw(f"team {n}", "x").integer(1, 6) for n in range(200)} == {1, 2, 3, 4, 5, 6}


def test_a_number_is_compared_with_its_tolerance():
    number = Number(lambda v: v["x"] * 2, rel_tol=1e-3)
    assert number.wrong(20.01, {"x": 10}) is None
    assert number.wrong(20.1, {"x": 10}) == "el número no es el de este equipo"
    for given_answer in ("20", True, None, [20], float("nan")):
        assert "se espera un número" in number.wrong(given_answer, {"x": 10})


def test_a_whole_number_has_to_be_the_very_one_and_another_is_compared_to_a_thousandth():
    whole, other = Number(lambda v: v["x"] * 1000), Number(lambda v: v["x"] * 1000.0)
    assert whole.wrong(10_000, {"x": 10}) is None and whole.wrong(10_001, {"x": 10})
    assert other.wrong(10_001, {"x": 10}) is None and other.wrong(10_020, {"x": 10})


def test_an_expression_is_compared_by_what_it_computes():
    answer = Expression(lambda v, case: v["d"] * case["r"] ** 2, lambda v: [{"r": 2}, {"r": 5}])
    assert answer.wrong("7 * r * r", {"d": 7}) is None
    assert answer.wrong("r**2 + 6*r**2", {"d": 7}) is None
    assert answer.wrong("14 * r", {"d": 7}) == "la expresión no da el resultado de este equipo para r = 5"
    assert "se espera una expresión" in answer.wrong(28, {"d": 7})
    assert "'d' no está definido" in answer.wrong("d * r", {"d": 7})


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "(lambda: 1)()",
        "r.__class__",
        "[r for r in (1,)][0]",
        "open",
        "'a' * 9",
        "(yield) if r else r",
        "9**9**9",
        "1e300 ** 1000",
        "r :=",
        "(" * 300,
        "1 +" * 200 + "1",
        "1 / 0",
        "sqrt(0 - 1)",
        "log(r, 2, 3)",
        "(0 - 8) ** 0.5",  # complex
        "9" * 390,  # no float holds it
        "1e308 * 10",
        "round(5, 0 - 10**9)",  # would build 10 ** 10 ** 9
        "abs((-1) ** 0.5)",  # complex within
        "10**99 * 10**99 > 1",  # a whole number that no float needs to hold
        "1" * 200 + " > 1",
        "True",
    ],
)
def test_what_is_no_formula_is_refused_without_being_run(text):
    with pytest.raises(UserError) as refusal:
        evaluate(text, {"r": 2.0})
    assert "\n" not in str(refusal.value)


@pytest.fixture
def sheet(tmp_path):
    (tmp_path / "answers").mkdir()
    (tmp_path / "exercises.md").write_text("# T\n\n## 1. Uno · `uno`\n\nDobla ⟨x⟩.\n")
    exercise = Exercise("uno", lambda draw: {"x": draw.integer(0, 10**6)}, Number(lambda v: 2 * v["x"], 0))
    return Sheet(tmp_path, [exercise])


def test_a_sheet_prints_the_team_s_numbers_and_checks_its_answers(sheet):
    x = sheet.exercises[0].values("quipu")["x"]
    assert f"Dobla {x}." in sheet.statements("quipu")
    (sheet.folder / "answers/quipu.toml").write_text(f"uno = {2 * x}")
    (sheet.folder / "answers/ayni.toml").write_text(f"uno = {2 * x}")
    assert sheet.check("quipu", sheet.answers("quipu")) == {"uno": None}
    assert sheet.check("ayni", sheet.answers("ayni")) == {"uno": "el número no es el de este equipo"}
    assert sheet.check("quipu", {}) == {"uno": "sin respuesta"}


def test_mistakes_in_files_are_one_line(sheet):
    with pytest.raises(UserError, match=r"nobody\.toml is not there"):
        sheet.answers("nobody")
    for name in ("../x", "-a", "a" * 65, "a b"):
        with pytest.raises(UserError, match="letters, digits"):
            sheet.answers(name)
    (sheet.folder / "answers/a.toml").write_text("uno = = 3")
    with pytest.raises(UserError, match=r"a\.toml: "):
        sheet.answers("a")
    (sheet.folder / "answers/a.toml").write_text("dos = 3")
    with pytest.raises(UserError, match="there is no exercise 'dos'"):
        sheet.answers("a")
    (sheet.folder / "exercises.md").write_text("## 1. `otro`\n")
    with pytest.raises(UserError, match="has the sections"):
        sheet.statements("a")


DECLARED = """
anchos = [16, 24]
[uno]
draw = [{ n = "8..64 step 8", "m, k" = "2..n - 1", menos = "0.10..0.90", x = "= -menos" }, { w = "anchos", z = [1, 2] }]
answer = "n * m + x"
[dos]
draw = { t = "3..9" }
answer = "t * r * s"
cases = { r = [1, "t + 1"], s = [2, 3] }
"""


def test_declared_exercises_draw_in_their_order_and_compute(tmp_path):
    (tmp_path / "exercises.toml").write_text(DECLARED)
    one, two = read_exercises(tmp_path)
    draw, v = Draw("quipu", "uno"), one.values("quipu")
    n = draw.integer(8, 64, 8)
    assert (v["n"], v["m"], v["k"]) == (n, draw.integer(2, n - 1), draw.integer(2, n - 1))
    assert (v["menos"], v["w"], v["z"]) == (draw.decimal(0.1, 0.9), draw.one_of([16, 24]), draw.one_of([1, 2]))
    assert v["x"] == -v["menos"] and list(v) == ["n", "m", "k", "menos", "x", "w", "z"]
    assert isinstance(one.answer, Number) and one.answer.solve(v) == v["n"] * v["m"] + v["x"]
    t = two.values("quipu")["t"]
    assert two.answer.cases({"t": t}) == [{"r": r, "s": s} for r in (1, t + 1) for s in (2, 3)]
    assert two.answer.wrong(f"{t} * r * s", {"t": t}) is None and two.answer.wrong("t * r * s", {"t": t})


@pytest.mark.parametrize("rule", ["8", "1..2.5", "9..3", "8..", "9..m", "= m", "= 1 +"])
def test_a_rule_that_draws_nothing_is_refused_in_one_line(rule, tmp_path):
    (tmp_path / "exercises.toml").write_text(f'[uno]\ndraw = {{ n = "{rule}" }}\nanswer = "n"\n')
    with pytest.raises(UserError):
        read_exercises(tmp_path)[0].values("quipu")


@pytest.mark.parametrize("text", ["[uno]\nanswer = '1'", "[uno]\ndraw = {}\nanswer = '1'\nsolve = '2'", "[uno"])
def test_a_file_that_declares_no_exercise_is_refused(text, tmp_path):
    with pytest.raises(UserError, match=r"exercises\.toml is not there"):
        read_exercises(tmp_path)
    (tmp_path / "exercises.toml").write_text(text)
    with pytest.raises(UserError, match=r"exercises\.toml"):
        read_exercises(tmp_path)


def test_an_expression_that_is_right_on_the_listed_cases_alone_is_wrong():
    answer = Expression(lambda v, case: v["d"] * case["r"] ** 2, lambda _: [{"r": r} for r in (1, 3, 64)])
    exercise = Exercise("coste", lambda draw: {"d": draw.integer(2, 9)}, answer)
    d = exercise.values("quipu")["d"]
    by_heart = f"{d} if r == 1 else {9 * d} if r == 3 else {4096 * d}"
    assert answer.wrong(by_heart, {"d": d}) is None
    assert "para r = " in exercise.wrong(by_heart, "quipu")
    assert exercise.wrong(f"{d} * r * r", "quipu") is None


def test_the_courses_key_draws_what_a_clone_cannot():
    exercise = Exercise("uno", lambda draw: {"x": draw.integer(0, 10**9)}, Number(lambda v: v["x"]))
    own, one, other = (exercise.values("quipu", key)["x"] for key in (None, b"a" * 32, b"b" * 32))
    assert len({own, one, other}) == 3
    assert exercise.wrong(one, "quipu", b"a" * 32) is None and exercise.wrong(own, "quipu", b"a" * 32)


def test_an_exercise_may_go_on_with_the_numbers_of_one_above(tmp_path):
    path = tmp_path / "exercises.toml"
    path.write_text(
        '[uno]\ndraw = { x = "1..1000" }\nanswer = "x"\n[dos]\nfrom = "uno"\ndraw = { y = "1..9" }\nanswer = "x * y"\n'
    )
    one, two = read_exercises(tmp_path)
    for key in (None, b"k" * 32):
        assert two.values("quipu", key)["x"] == one.values("quipu", key)["x"]
        assert two.values("quipu", key)["y"] == Draw("quipu", "dos", key).integer(1, 9)
    path.write_text('[dos]\nfrom = "uno"\ndraw = { y = "1..9" }\nanswer = "y"\n')
    with pytest.raises(UserError, match="no exercise 'uno' stands above"):
        read_exercises(tmp_path)


def test_the_command_counts_the_right_answers_and_draws_with_the_courses_key(tmp_path, capsys):
    new_course_key(tmp_path / "course.key", "CC0C2", 2026)
    assert command(Arguments(project="lora", check=True, team="Demo")) == 0
    assert "12 de 12 bien." in capsys.readouterr().out
    command(Arguments(project="lora", team="demo"))
    plain = capsys.readouterr().out
    assert "se defiende oralmente" in plain
    command(Arguments(project="lora", team="demo", key=tmp_path / "course.key"))
    assert capsys.readouterr().out != plain
    assert command(Arguments(project="lora", check=True, team="demo", key=tmp_path / "course.key")) == 1
    assert "con la clave del curso" in capsys.readouterr().out
