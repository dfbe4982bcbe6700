"""`make run-rag_agent`: build the index, answer questions with sources, use tools, remember a turn, save and reload."""

from projects.rag_agent.config import Config
from projects.rag_agent.data import load_documents
from projects.rag_agent.demo import check_reloaded, converse, examine, opened
from projects.rag_agent.questions import drawn_by_lot
from shared.errors import command

OFF_TOPIC = ("Who won the football match yesterday?",)
TOOLS = ("What is 15% of 1,982?", "Which weekday is 2027-01-01?", "Search the web for nitrate film")


def main(config: Config) -> None:
    """Answer questions about films from their articles, with sources, tools and memory."""
    agent = opened(config)
    examine(agent, drawn_by_lot(load_documents(config.dataset, config.limit)))
    converse(agent, (*OFF_TOPIC, *TOOLS))
    check_reloaded(agent, config, "the prison drama by Jacques Audiard")


if __name__ == "__main__":
    command(main, Config)
