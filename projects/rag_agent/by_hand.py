# %% [markdown]
# # RAG y agentes: la idea, y lo medido
#
# **Pregunta.** ¿Cuánto mejora un modelo pequeño (SmolLM2, 135 millones de parámetros) cuando antes de contestar se
# le dan los pasajes que un buscador encuentra, y qué parte de lo que falta es culpa de buscar y cuál de leer?
#
# Primero se busca a mano, en un minuto y con pocos artículos: cambie los números en mayúsculas, o la pregunta, y vuelva
# a ejecutar la celda. Después viene lo medido, que se lee de `projects/rag_agent/results/`: `make results-rag_agent` y
# `make bench-rag_agent` rehacen esos ficheros, `make notebook-rag_agent` este cuaderno.
#
# *English summary: BM25, vectors, their fusion and a threshold by hand; then retrieval-augmented answers over 764 film
# articles. Weights, threshold and prompt were chosen on two fifths of the films; the numbers are on the other three.*

# %%
"""Retrieval by hand: the first cells of results/notebook.ipynb."""

import math
import re
from collections import Counter
from functools import cache

import numpy as np

from projects.rag_agent.data import film_documents, sentences
from projects.rag_agent.questions import search_questions
from projects.rag_agent.retriever.embedder import Embedder
from shared.course.cells import Drawing, Table, curves, live

FILMS, ASKED = 120, 50


@cache
def films(kind: str = "reworded") -> tuple[list[str], list[str], list[tuple[str, int]]]:
    """Titles, openings, and questions of a kind with the place of the film that each is about."""
    documents = film_documents()[:FILMS]
    titles = [document.title for document in documents]
    asked = [(q.text, titles.index(q.film)) for q in search_questions(documents) if q.kind == kind]
    return titles, [" ".join(sentences(document.text)[:4]) for document in documents], asked[:ASKED]


# %% [markdown]
# ## 1 · Palabras: BM25, en una fórmula
#
# Una palabra cuenta más si está en pocos textos (`idf`); repetirla cuenta cada vez menos (`K1`), y un texto largo
# cuenta menos (`B`). Alien sale tercera porque «the», «of» e «is» también puntúan: quítelas, o use sinónimos.

# %%
QUESTION, K1, B = "the crew of a spaceship is hunted by a creature", 1.5, 0.75


def bm25(question: str, texts: list[str], k1: float, b: float) -> np.ndarray:
    """Score of each text (Robertson and Zaragoza 2009, eq. 3.15)."""
    bags = [Counter(re.findall(r"\w+", text.lower())) for text in texts]
    lengths = np.array([bag.total() for bag in bags])
    scores = np.zeros(len(texts))
    for word in set(re.findall(r"\w+", question.lower())):
        counts = np.array([bag[word] for bag in bags])
        idf = math.log(1 + (len(bags) - (counts > 0).sum() + 0.5) / ((counts > 0).sum() + 0.5))
        scores += idf * counts * (k1 + 1) / (counts + k1 * (1 - b + b * lengths / lengths.mean()))
    return scores


def best(question: str, k1: float, b: float) -> Table:
    """The three texts that score highest."""
    titles, texts, _ = films()
    scores = bm25(question, texts, k1, b)
    rows = [(titles[i], f"{scores[i]:.2f}", texts[i][:90] + "…") for i in np.argsort(-scores)[:3]]
    return Table(("película", "BM25", "su comienzo"), tuple(rows), question)


live(best, QUESTION, K1, B)

# %% [markdown]
# ## 2 · Vectores, y los dos a la vez
#
# MiniLM hace de cada texto un vector; dos textos se parecen si apuntan igual, aunque no compartan palabras. Las dos
# puntuaciones se llevan a la misma escala y se suman con un peso: 0 es sólo BM25, 1 sólo vectores. Las preguntas
# están dichas con otras palabras que el artículo. MRR es la media de 1/puesto de la película buscada.

# %%
WEIGHTS, KINDS = 11, {"dichas de otro modo": "reworded", "con sinónimos": "other_words"}


def standard(scores: np.ndarray) -> np.ndarray:
    """Each row with mean 0 and deviation 1, so that two kinds of score can be added."""
    return (scores - scores.mean(1, keepdims=True)) / scores.std(1, keepdims=True)


def mean_reciprocal_rank(scores: np.ndarray, right: list[int]) -> float:
    """Mean over the questions, which are the rows, of 1 / place of the film that is meant."""
    places = (scores > scores[np.arange(len(right)), right][:, None]).sum(1) + 1
    return float((1 / places).mean())


def fusion(count: int, kinds: dict[str, str]) -> Drawing:
    """MRR over the weight of the vectors, for each kind of question."""
    embedder, weights, lines = Embedder(max_length=64), np.linspace(0, 1, count), {}
    passages = embedder.encode(films()[1])
    for name, kind in kinds.items():
        _, texts, asked = films(kind)
        words = standard(np.array([bm25(question, texts, K1, B) for question, _ in asked]))
        vectors = standard(embedder.encode([question for question, _ in asked]) @ passages.T)
        right = [place for _, place in asked]
        lines[name] = [mean_reciprocal_rank((1 - w) * words + w * vectors, right) for w in weights]
    title = "¿Cuánto peso a los vectores?"
    return curves(lines, x=weights.tolist(), title=title, xlabel="peso de los vectores", ylabel="MRR")


live(fusion, WEIGHTS, KINDS)

# %% [markdown]
# ## 3 · Callar
#
# Si la película no está en el índice, lo mejor que se encuentra es otra. Se quitan del índice la mitad de las películas
# y se calla por debajo de un umbral de parecido. Cambie el umbral: lo que se gana callando bien se pierde callando mal.

# %%
THRESHOLDS = (0.35, 0.4, 0.45, 0.5)


def silence(thresholds: tuple[float, ...]) -> Table:
    """How many questions are refused at each threshold, of those whose film is there and of the others."""
    _, texts, asked = films()
    embedder = Embedder(max_length=64)
    kept = [i for i in range(len(texts)) if i % 2 == 0]
    similar = embedder.encode([question for question, _ in asked]) @ embedder.encode([texts[i] for i in kept]).T
    there = np.array([place % 2 == 0 for _, place in asked])
    nearest = similar.max(1)
    rows = [(t, f"{(nearest[there] < t).mean():.0%}", f"{(nearest[~there] < t).mean():.0%}") for t in thresholds]
    return Table(("umbral", "callan sin deber (está)", "callan y deben (no está)"), tuple(rows))


live(silence, THRESHOLDS)
