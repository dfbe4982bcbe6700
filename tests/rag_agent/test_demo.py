"""What the default run shows: questions by lot, and each answer judged."""

from projects.rag_agent import demo
from projects.rag_agent.agents.agent import Agent, RulePolicy
from projects.rag_agent.agents.memory import Conversation
from projects.rag_agent.config import Config
from projects.rag_agent.data import load_documents
from projects.rag_agent.questions import Question, drawn_by_lot, fact_questions, split_of


def test_the_questions_are_a_lot_of_the_test_films_and_always_the_same():
    documents = load_documents("film_articles")
    asked = drawn_by_lot(documents)
    split = split_of(documents)
    assert asked == drawn_by_lot(documents)
    assert len({question.text for question in asked}) == len(asked) >= 6
    assert set(asked[:6]) <= set(fact_questions(documents))
    assert all(split[question.film] == "test" for question in asked)
    assert drawn_by_lot(documents[:3]) == [] or len(drawn_by_lot(documents[:3])) <= 6 + 1


def test_every_answer_is_marked(make_module, capsys):
    agent = Agent(make_module("by Ridley Scott", "Al Pacino"), RulePolicy())
    asked = [
        Question("Who directed Alien?", "director", "Alien", ("Ridley Scott",)),
        Question("Who directed Heat?", "director", "Heat", ("Michael Mann",)),
        Question("What is the capital of Peru?", "director", "Lima", ("Lima",)),
    ]
    assert demo.examine(agent, asked) == 1
    said = capsys.readouterr().out
    assert "RIGHT, it names Ridley Scott" in said and "WRONG, it does not name Michael Mann" in said
    assert "WRONG, it does not name Lima" in said and "1 of 3 answers" in said


def test_a_persons_conversation_is_not_the_demos(tmp_path, monkeypatch, make_module):
    kept = Conversation.open(tmp_path / "conversation.json")
    made = Agent(make_module("Ridley Scott"), RulePolicy(), kept)
    made.respond("Who directed Alien?")
    monkeypatch.setattr(demo, "open_agent", lambda _, conversation: Agent(made.module, RulePolicy(), conversation))
    demo.opened(Config(out=tmp_path)).respond("6 * 7")
    assert Conversation.open(tmp_path / "conversation.json").turns == kept.turns != []
