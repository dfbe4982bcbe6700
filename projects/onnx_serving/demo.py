"""What the default run shows after training and export: answers, and a server that is called and stopped."""

import json
from pathlib import Path

import httpx

from projects.onnx_serving.inference.pipelines import question_answering
from projects.onnx_serving.server.launch import running
from projects.onnx_serving.server.schemas import FILM
from shared.progress import table
from shared.web.launch import stop

QUESTIONS = ("Who directed Vertigo?", "When was Vertigo released?", "Who stars in Vertigo?", "Who directed Psycho?")
PROMPT = "Name one film by Alfred Hitchcock."


def ask_the_pipelines(qa: Path) -> None:
    """Print answers of pipeline("question-answering"); the last question is not answered by the text."""
    answering = question_answering(qa)
    found = [answering(question=question, context=FILM) for question in QUESTIONS]
    rows = [
        (q, a["answer"] or "(not in the text)", f"{a['no_answer']:.2f}") for q, a in zip(QUESTIONS, found, strict=True)
    ]
    table('pipeline("question-answering")', ["question", "answer", "probability of no answer"], rows)


def call_the_server(graphs: Path) -> None:
    """Start the server on a free port, call both routes as curl would, stop it with SIGTERM."""
    with running({"models": graphs}) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        print(f"\nserver up after {server.cold_seconds:.1f} s, {server.resident_mb():.0f} MB: {server.url}/docs")
        calls = [
            ("/qa", {"question": QUESTIONS[0], "context": FILM}),
            ("/generate", {"prompt": PROMPT, "max_new_tokens": 24}),
        ]
        for route, body in calls:
            reply = client.post(route, json=body)
            print(f"POST {route} {json.dumps(body)[:90]}…\n  {reply.status_code} {reply.text}")
        code = stop(server.process)
    print(f"server stopped with SIGTERM, exit code {code}")
