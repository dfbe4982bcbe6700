"""The LangChain flow: the same generator, the same turns, and none of its warnings."""

import builtins
import warnings

import pytest

from projects.rag_agent.agents import langchain_flow
from projects.rag_agent.agents.langchain_flow import FlowConfig, ask, build_chain, main
from projects.rag_agent.agents.memory import Conversation, Turn
from shared.errors import UserError


def test_the_chain_asks_our_generator_and_remembers(make_module, capsys):
    module, conversation = make_module("Alfred Hitchcock", "1958"), Conversation()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        chain = build_chain(module.generator, conversation)
        assert ask(chain, module, conversation, "Who directed Vertigo?") == "Alfred Hitchcock"
        assert ask(chain, module, conversation, "When was Vertigo made?") == "1958"
    assert caught == [] and capsys.readouterr().err == ""
    second = module.generator.prompts[1][-1]["content"]
    assert "Human: Who directed Vertigo?" in second and "AI: Alfred Hitchcock" in second
    assert "[1] Vertigo: Vertigo is a 1958" in second
    assert [turn.text for turn in conversation.turns][1::2] == ["Alfred Hitchcock", "1958"]


def test_the_buffer_begins_with_the_conversations_turns(make_module, capsys):
    conversation = Conversation(turns=[Turn("user", "Hello?"), Turn("assistant", "Good day.")])
    module = make_module("x")
    ask(build_chain(module.generator, conversation), module, conversation, "Who directed Ran?")
    assert "Human: Hello?\nAI: Good day." in module.generator.prompts[0][-1]["content"]


def test_a_brace_in_a_passage_is_no_field(make_module, make_passage, capsys):
    module = make_module("fine")
    module.retriever.add([make_passage("Braces", "Braces film {history} {0} directed by Nobody.")])
    assert (
        ask(build_chain(module.generator, Conversation()), module, Conversation(), "Who directed the Braces film?")
        == "fine"
    )


def test_without_langchain_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **options):
        if name.startswith("langchain"):
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(langchain_flow, "open_module", lambda _: pytest.fail("the models were loaded first"))
    with pytest.raises(UserError, match=r"LangChain is not installed: pip install -e \"\.\[rag-agent-langchain\]\""):
        main(FlowConfig())
