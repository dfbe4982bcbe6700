"""The wordings of each question: most are trained on, a few help to choose, the last are kept back for the test.

A model that knows six wordings of a question takes a seventh for another question and answers nothing. What it trains
on is therefore put together of interchangeable parts, more than a hundred a question, and the margin from which it
answers is chosen on wordings that it was not trained on.
"""

from itertools import product
from typing import Literal

from projects.onnx_serving.facts import Kind

Wording = Literal["trained", "validation", "held_out"]

_FILM = ("{title}", "{title}", "the film {title}", "the movie {title}")  # mostly the title alone
_NAME = ("Name", "Tell me", "Give me", "I want to know")
_SAY = ("Say", "Tell me", "I want to know")


def _joined(*parts: tuple[str, ...]) -> tuple[str, ...]:
    """Every way to take one of each part, in order, without repeats."""
    return tuple(dict.fromkeys(" ".join(words).replace(" ?", "?").replace(" .", ".") for words in product(*parts)))


TRAINED: dict[Kind, tuple[str, ...]] = {
    "director": (
        *_joined(
            ("Who", "Which filmmaker", "Which director"), ("directed", "made", "helmed", "created"), _FILM, ("?",)
        ),
        *_joined(("Who", "Which man or woman"), ("was behind the camera of", "led the shooting of"), _FILM, ("?",)),
        *_joined(("By whom was", "By which director was"), _FILM, ("directed?", "made?", "filmed?")),
        *_joined(_NAME, ("the director of", "the maker of"), _FILM, (".",)),
        *_joined(_SAY, ("who directed", "who made"), _FILM, (".",)),
        *_joined(
            ("Director of", "A film by whom is", "Who is the director of", "Who is responsible for"), _FILM, ("?",)
        ),
        *_joined(_FILM, ("was directed by whom?", "is the work of which filmmaker?", "had which director?")),
        "Which director's work is {title}?",
        "To which filmmaker do we owe {title}?",
        "Who gave the orders while {title} was made?",
        "Who told the actors of {title} what to do?",
        "Which auteur is {title} the work of?",
        "Who was in charge of {title} as a director?",
    ),
    "year": (
        *_joined(("When", "In which year", "In what year"), ("was",), _FILM, ("released?", "made?", "produced?")),
        *_joined(("When", "In which year"), ("did",), _FILM, ("come out?", "appear?", "premiere?", "open?")),
        *_joined(_NAME, ("the year of", "the release year of"), _FILM, (".",)),
        *_joined(_SAY, ("when they made", "in which year they made"), _FILM, (".",)),
        *_joined(("Year of", "Which year is the year of", "What is the release year of"), _FILM, ("?",)),
        *_joined(_FILM, ("is from which year?", "came out when?", "was released when?", "is a film of which year?")),
        "Which year saw the release of {title}?",
        "From when is {title}?",
        "How old is {title}?",
        "When did people buy tickets for {title}?",
        "What year stands on the posters of {title}?",
    ),
    "stars": (
        *_joined(
            ("Who", "Which actor"), ("stars in", "acts in", "appears in", "plays in", "is cast in"), _FILM, ("?",)
        ),
        *_joined(
            ("Which actors", "What stars"), ("star in", "act in", "appear in", "play in", "are in"), _FILM, ("?",)
        ),
        *_joined(
            ("Which people", "What actors and actresses"), ("have roles in", "lead", "are cast in"), _FILM, ("?",)
        ),
        *_joined(_NAME, ("the cast of", "the actors of", "the stars of"), _FILM, (".",)),
        *_joined(_SAY, ("who acts in", "who stars in"), _FILM, (".",)),
        *_joined(("Cast of", "Who are the stars of", "Who is in the cast of", "Who are the actors in"), _FILM, ("?",)),
        *_joined(_FILM, ("stars whom?", "has which actors?", "was made with which stars?", "is acted by whom?")),
        "Who played the lead in {title}?",
        "Whom did the director of {title} cast?",
        "Who takes the leading roles in {title}?",
        "Which famous names act in {title}?",
        "Who was hired to act in {title}?",
        "With which actors was {title} filmed?",
        "By whom are the characters of {title} played?",
        "Who stood before the camera of {title}?",
        "Who is the hero of {title} played by?",
    ),
    "basis": (
        *_joined(("What", "Which book", "Which work", "Which novel or play"), ("is",), _FILM, ("based on?",)),
        *_joined(
            ("What", "Which book", "Which story"), ("was",), _FILM, ("adapted from?", "made from?", "drawn from?")
        ),
        *_joined(
            _NAME, ("the source of", "the book that became", "the story adapted in", "the original of"), _FILM, (".",)
        ),
        *_joined(("Source of", "What inspired", "What is the origin of", "What is the source of"), _FILM, ("?",)),
        *_joined(_FILM, ("is based on what?", "is an adaptation of what?", "adapts which book or story?")),
        "On which work does {title} rest?",
        "What did the makers of {title} adapt?",
        "What did the screenplay of {title} draw on?",
        "Which writer's work became {title}?",
        "What had the writers of {title} read?",
        "Of what is {title} the film version?",
        "What existed before {title} and tells the same story?",
    ),
}

VALIDATION: dict[Kind, tuple[str, ...]] = {
    "director": (
        "Which filmmaker gave us {title}?",
        "At the helm of {title} stood whom?",
        "Who shot {title}?",
        "Who held the megaphone on the set of {title}?",
        "Please name the person who directed {title}.",
        "Who called the shots on {title}?",
    ),
    "year": (
        "To which year does {title} belong?",
        "{title} reached the cinemas when, exactly?",
        "Do you know when {title} was shown for the first time?",
        "Since when has {title} existed?",
        "In what year was {title} finished?",
        "What vintage is {title}?",
    ),
    "stars": (
        "Which faces appear in {title}?",
        "Name the players in {title}.",
        "Who got top billing in {title}?",
        "List the people acting in {title}.",
        "{title}: with whom?",
        "Who portrays the characters of {title}?",
    ),
    "basis": (
        "What was turned into the film {title}?",
        "Which literature gave {title} its story?",
        "What gave the idea for {title}?",
        "What material did {title} use?",
        "Which earlier work does {title} retell?",
        "{title}: after which book?",
    ),
}

HELD_OUT: dict[Kind, tuple[str, ...]] = {
    "director": (
        "Whose film is {title}?",
        "Under whose direction was {title} shot?",
        "Which person sat in the director's chair for {title}?",
    ),
    "year": (
        "How long ago did audiences first see {title}: in what year?",
        "{title}: which year?",
        "Tell me the date of {title}.",
    ),
    "stars": (
        "Whom can I see on screen in {title}?",
        "Who has the main parts in {title}?",
        "Which performers does {title} feature?",
    ),
    "basis": (
        "Where does the plot of {title} come from?",
        "From what was {title} taken?",
        "Which text lies behind {title}?",
    ),
}

WORDINGS: dict[Wording, dict[Kind, tuple[str, ...]]] = {
    "trained": TRAINED,
    "validation": VALIDATION,
    "held_out": HELD_OUT,
}
