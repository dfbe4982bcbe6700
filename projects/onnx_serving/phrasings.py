"""The wordings of each question: some are trained on, the others are kept back to see what the model made of them."""

from projects.onnx_serving.facts import Kind

TRAINED: dict[Kind, tuple[str, ...]] = {
    "director": (
        "Who directed {title}?",
        "Who is the director of {title}?",
        "Who was {title} directed by?",
        "{title} was directed by whom?",
        "Name the director of the film {title}.",
        "By which filmmaker was {title} made?",
    ),
    "year": (
        "When was {title} released?",
        "In which year did {title} come out?",
        "What year is {title} from?",
        "When was the film {title} made?",
        "{title} is a film of which year?",
        "What is the release year of {title}?",
    ),
    "stars": (
        "Who stars in {title}?",
        "Which actors star in {title}?",
        "Who are the stars of {title}?",
        "Who is in the cast of {title}?",
        "Who plays in the film {title}?",
        "Name the leading actors of {title}.",
    ),
    "basis": (
        "What is {title} based on?",
        "On what is the film {title} based?",
        "Which work was {title} adapted from?",
        "What is the source of {title}?",
        "{title} is based on which book or story?",
        "What did the makers of {title} adapt?",
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
