"""The wordings of each question: most are trained on, a few help to choose, the last are kept back for the test.

A model that knows six wordings of a question takes a seventh for another question and answers nothing; it needs many,
and the margin from which it answers must be chosen on some that it was not trained on.
"""

from typing import Literal

from projects.onnx_serving.facts import Kind

Wording = Literal["trained", "chosen_on", "held_out"]

TRAINED: dict[Kind, tuple[str, ...]] = {
    "director": (
        "Who directed {title}?",
        "Who is the director of {title}?",
        "Who was {title} directed by?",
        "{title} was directed by whom?",
        "Name the director of the film {title}.",
        "By which filmmaker was {title} made?",
        "Who made {title}?",
        "Which director made {title}?",
        "Director of {title}?",
        "Who is the filmmaker of {title}?",
        "{title} is the work of which director?",
        "I want to know who directed {title}.",
        "Do you know who directed the movie {title}?",
        "The director of {title} was who?",
        "Who led the making of {title}?",
        "Which auteur is responsible for {title}?",
        "What is the name of the man or woman who directed {title}?",
        "Who stood behind the camera of {title}?",
    ),
    "year": (
        "When was {title} released?",
        "In which year did {title} come out?",
        "What year is {title} from?",
        "When was the film {title} made?",
        "{title} is a film of which year?",
        "What is the release year of {title}?",
        "Year of {title}?",
        "What was the year of release of {title}?",
        "When did {title} come to the cinemas?",
        "When did {title} premiere?",
        "In what year was the movie {title} produced?",
        "{title} came out when?",
        "I want to know when {title} appeared.",
        "Do you know when {title} was released?",
        "Give the year in which {title} was made.",
        "Which year saw the release of {title}?",
        "From when is {title}?",
        "The year of {title}, please.",
    ),
    "stars": (
        "Who stars in {title}?",
        "Which actors star in {title}?",
        "Who are the stars of {title}?",
        "Who is in the cast of {title}?",
        "Who plays in the film {title}?",
        "Name the leading actors of {title}.",
        "Cast of {title}?",
        "Which actors appear in {title}?",
        "Who acts in {title}?",
        "Who played the lead in {title}?",
        "Whom did the director cast in {title}?",
        "{title} stars whom?",
        "I want to know who acts in {title}.",
        "Do you know who stars in the movie {title}?",
        "List the cast of {title}.",
        "Who are the actors of the film {title}?",
        "Who takes the leading roles in {title}?",
        "Which men and women act in {title}?",
    ),
    "basis": (
        "What is {title} based on?",
        "On what is the film {title} based?",
        "Which work was {title} adapted from?",
        "What is the source of {title}?",
        "{title} is based on which book or story?",
        "What did the makers of {title} adapt?",
        "What inspired {title}?",
        "What was {title} adapted from?",
        "{title} is an adaptation of what?",
        "Source of {title}?",
        "I want to know which book {title} adapts.",
        "Do you know what {title} is based on?",
        "What is the origin of the story of {title}?",
        "Which novel, play or story was made into {title}?",
        "On which work does {title} rest?",
        "What did the screenplay of {title} draw on?",
        "From which book was the script of {title} made?",
        "Which writer's work became {title}?",
    ),
}

CHOSEN_ON: dict[Kind, tuple[str, ...]] = {
    "director": (
        "Which filmmaker gave us {title}?",
        "At the helm of {title} stood whom?",
    ),
    "year": (
        "To which year does {title} belong?",
        "{title} reached the cinemas when, exactly?",
    ),
    "stars": (
        "Which faces appear in {title}?",
        "Name the players in {title}.",
    ),
    "basis": (
        "What was turned into the film {title}?",
        "Which literature gave {title} its story?",
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
    "chosen_on": CHOSEN_ON,
    "held_out": HELD_OUT,
}
