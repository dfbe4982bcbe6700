"""What the default run shows after training and export: answers, speeds, and a server that is called and stopped."""

import json
from pathlib import Path

import httpx

from projects.onnx_serving.benchmarks.arms import Cell
from projects.onnx_serving.benchmarks.benchmark import BenchConfig, arms_of, measured, row_of, vnni
from projects.onnx_serving.export.onnx_export import counted
from projects.onnx_serving.export.parity import summary
from projects.onnx_serving.inference.pipelines import question_answering
from projects.onnx_serving.server.launch import running, stop
from projects.onnx_serving.server.schemas import FILM
from shared import devices
from shared.progress import table
from shared.runs import read_json

QUESTIONS = ("Who directed Vertigo?", "When was Vertigo released?", "Who stars in Vertigo?", "Who directed Psycho?")
PROMPT = "Name one film by Alfred Hitchcock."


def show_training(run: Path) -> None:
    """Print what the trained model scores on held-out films."""
    result = read_json(run / "result.json")
    rows = [
        ("as trained", result["films_f1"], result["films_exact"], result["no_answer_f1"]),
        ("never seen", result["wordings_f1"], result["wordings_exact"], result["wordings_no_answer_f1"]),
    ]
    table("Held-out films", ["wording", "F1", "exact match", "F1 of no answer"], rows)


def show_export(folder: Path) -> None:
    """Print how the graphs compare with torch, as a fresh process found it when they were exported."""
    products = {name: counted(folder / name) for name in sorted(path.name for path in folder.glob("*.onnx"))}
    rows = [
        (graph, f"{(folder / graph).stat().st_size / 1e6:.0f} MB", products[graph]["int8"], cases, gap, f"{same:.1%}")
        for graph, cases, gap, same in summary(read_json(folder / "parity.json"))
    ]
    columns = ["graph", "size", "int8 products", "cases", "largest relative difference", "same argmax"]
    table("Graphs against torch, reloaded in a fresh process", columns, rows)


def ask_the_pipelines(qa: Path) -> None:
    """Print answers of pipeline("question-answering"); the last question is not answered by the text."""
    answering = question_answering(qa)
    found = [answering(question=question, context=FILM) for question in QUESTIONS]
    rows = [
        (q, a["answer"] or "(not in the text)", f"{a['no_answer']:.2f}") for q, a in zip(QUESTIONS, found, strict=True)
    ]
    table('pipeline("question-answering")', ["question", "answer", "probability of no answer"], rows)


def measure(graphs: Path, qa: Path) -> None:
    """Print a short benchmark; `make bench-onnx_serving` is the whole one."""
    threads = devices.cores()
    cells = [Cell("encode", 1, 64, threads, calls=5), Cell("encode", 8, 64, threads, calls=3)]
    cells += [Cell("generate", 1, 16, threads, 16), Cell("library", 1, 16, threads, 16)]
    with arms_of(BenchConfig(models=graphs, qa=qa)) as arms:
        rows = [row_of(*key, times) for key, times in measured(arms, cells, 3).items()]
    columns = ["task", "arm", "rows", "tokens", "p50 ms", "rows or tokens/s"]
    title = f"{threads} threads each; int8 in one step (VNNI or AMX): {'yes' if vnni() else 'no'}"
    shown = [
        (r["task"], r["arm"], r["rows"], r["tokens"], f"{r['p50_ms']:.1f}", f"{r['per_second']:.1f}") for r in rows
    ]
    table(title, columns, sorted(shown))


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
