"""`make run-rag_agent`: build the index, answer questions with sources, use tools, remember a turn, save and reload."""

from projects.rag_agent.config import Config
from projects.rag_agent.demo import check_reloaded, converse, opened
from shared.errors import command

QUESTIONS = (
    "Who directed A Prophet?",
    "Who directed Blade Runner?",
    "In which year was it released?",  # "it" is the film of the answer before
    "Name an actor in The Killing.",
    "Who directed A Time to Live and a Time to Die?",
    "Who won the football match yesterday?",  # not in the documents
)
TOOLS = ("What is 15% of 1,982?", "Which weekday is 2027-01-01?", "Search the web for nitrate film")


def main(config: Config) -> None:
    """Answer questions about films from their articles, with sources, tools and memory."""
    agent = opened(config)
    converse(agent, QUESTIONS)
    converse(agent, TOOLS)
    check_reloaded(agent, config, "the prison drama by Jacques Audiard")


if __name__ == "__main__":
    command(main, Config)
