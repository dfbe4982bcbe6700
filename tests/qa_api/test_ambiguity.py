"""Questions back: several things of one name, aliases that are none, and words that tell them apart."""

import pytest

from projects.qa_api.ambiguity.homonyms import Option, alias, homonyms, told_apart
from projects.qa_api.ambiguity.suggest import Suggestions, trigrams
from projects.qa_api.data.documents import Document

ANIMAL = Document("a", "Mole (animal)", "Moles are small mammals that dig.", "en")
UNIT = Document("u", "Mole (unit)", "The mole is the unit of amount of substance.", "en")
SPANISH = Document("s", "Mole (unit)", "El mol es la unidad de cantidad de sustancia.", "es")
AMOUNT = Document("m", "Amount of substance", "It is measured in a unit, the mol.", "en")


def asked(question, *options, least=0.1, apart=0.3):
    ordered = sorted(options, key=lambda each: -each.chance)
    return {each.document.id for each in homonyms(question, ordered, least=least, apart=apart)}


def test_two_things_of_one_name_are_asked_about_even_where_another_document_answers_best():
    both = (Option(ANIMAL, 0.3, "small mammals"), Option(UNIT, 0.2, "unit of amount"))
    assert asked("What is a mole?", *both) == {"a", "u"}
    assert asked("What are moles?", *both) == {"a", "u"}
    assert asked("What is a mole?", *both, Option(AMOUNT, 0.5, "mol")) == {"a", "u"}
    assert asked("What is a mole?", *both, Option(AMOUNT, 0.9, "mol")) == set()  # it answers so much better


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("What is a unit?", (Option(ANIMAL, 0.5, "x"), Option(UNIT, 0.5, "y"))),  # not their name
        ("What is a mole?", (Option(ANIMAL, 0.5, "x"), Option(UNIT, 0.05, "y"))),  # one has no good answer
        ("What is a mole?", (Option(ANIMAL, 0.5, "same"), Option(UNIT, 0.5, "Same"))),  # both say the same
        ("What is a mole?", (Option(UNIT, 0.5, "unit"), Option(SPANISH, 0.5, "unidad"))),  # one thing, two languages
        (
            "Which mammals does a mole eat?",
            (Option(ANIMAL, 0.5, "x"), Option(UNIT, 0.5, "y")),
        ),  # a word tells them apart
        ("What?", ()),
    ],
)
def test_where_nothing_is_ambiguous_nothing_is_asked(question, options):
    assert asked(question, *options) == set()


def test_aliases_are_the_same_page_or_the_same_words():
    twin = Document("b", "Moles", ANIMAL.text.upper(), "en")
    assert alias(Option(ANIMAL, 1.0, ""), Option(twin, 1.0, "")) and alias(
        Option(UNIT, 1.0, ""), Option(SPANISH, 1.0, "")
    )
    assert not alias(Option(ANIMAL, 1.0, ""), Option(UNIT, 1.0, ""))


def test_only_a_longer_word_of_one_of_them_tells_them_apart():
    assert told_apart("Which mammals are moles?", [ANIMAL, UNIT])
    assert not told_apart("What is the mole?", [ANIMAL, UNIT])


def test_a_slip_is_offered_its_name_and_a_right_name_nothing():
    names = Suggestions(["Muhammad Ali", "Malta", "Mercury (planet)"])
    assert names.near("Who was Muhamad Ali?") == ["Muhammad Ali"]
    assert names.near("Where is Malta?") == []
    assert trigrams("sun") == {" su", "sun", "un "}
