# %% [markdown]
# # Qué ver después: la idea, y lo medido
#
# **Pregunta.** ¿Qué dicen los argumentos de una película que las valoraciones no dicen, y cuándo hace falta?
#
# Primero se hace a mano, con un mundo de 60 películas y 200 personas que se calcula en un instante: cambie los números
# en mayúsculas y vuelva a ejecutar la celda. Después viene lo medido, que se lee de `projects/movie_recs/results/`.
#
# *English summary: EASE in closed form, MMR and cold films by hand in a small world; then the recorded results.*

# %%
"""EASE, MMR and cold films by hand: the first cells of results/notebook.ipynb."""

import numpy as np

from shared.course.cells import Table, live

# %% [markdown]
# ## 1 · EASE, en forma cerrada
#
# Cada película se predice con las demás: `B = I − P / diag(P)`, con `P = (XᵀX + λI)⁻¹`. La diagonal es cero, o cada
# película se predeciría a sí misma. Cambie λ: muy pequeña memoriza, muy grande vuelve a la popularidad.

# %%
FILMS, PEOPLE, KINDS, PENALTY = 60, 200, 4, 20.0


def world(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Likes (people, films), and the kind of each film; people like one kind, and famous films more."""
    rng = np.random.default_rng(seed)
    kind, fame = np.arange(FILMS) % KINDS, rng.random(FILMS)
    taste = rng.integers(KINDS, size=PEOPLE)
    chance = np.where(taste[:, None] == kind, 0.5, 0.06) * (0.3 + fame)
    return (rng.random((PEOPLE, FILMS)) < chance).astype(float), kind


def ease(likes: np.ndarray, penalty: float) -> np.ndarray:
    """Weights between films (Steck 2019, eq. 8)."""
    inverse = np.linalg.inv(likes.T @ likes + penalty * np.eye(likes.shape[1]))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


def found(scores: np.ndarray, known: np.ndarray, hidden: np.ndarray, k: int = 10) -> float:
    """Share of the hidden likes among the first k films that were not known."""
    order = np.argsort(-np.where(known > 0, -np.inf, scores), axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(hidden, order, 1).sum() / hidden.sum())


def compared(*penalties: float) -> Table:
    """Hidden likes that each λ finds, and popularity."""
    likes, _ = world()
    seen = np.random.default_rng(1).random(likes.shape) < 0.7
    known, hidden = likes * seen, likes * ~seen
    rows = [(f"{penalty:g}", f"{found(known @ ease(known, penalty), known, hidden):.3f}") for penalty in penalties]
    most = np.tile(known.sum(0), (PEOPLE, 1))
    return Table(("λ", "me gusta hallados entre diez"), (*rows, ("popularidad", f"{found(most, known, hidden):.3f}")))


live(compared, 0.5, 5.0, PENALTY, 200.0)

# %% [markdown]
# ## 2 · MMR: λ entre lo mejor y lo distinto
#
# El siguiente de la lista es el de mayor λ·relevancia − (1−λ)·(el mayor coseno con los ya elegidos). Con λ = 1 queda el
# orden de relevancia; al bajar λ entran películas de otros tipos.

# %%
TRADES = (1.0, 0.8, 0.6, 0.4)


def mmr(relevance: np.ndarray, vectors: np.ndarray, k: int, trade: float) -> list[int]:
    """Carbonell and Goldstein 1998, by its definition."""
    chosen = [int(np.argmax(relevance))]
    while len(chosen) < k:
        value = trade * relevance - (1 - trade) * (vectors @ vectors[chosen].T).max(1)
        value[chosen] = -np.inf
        chosen.append(int(np.argmax(value)))
    return chosen


def content(kind: np.ndarray, noise: float = 0.3) -> np.ndarray:
    """A vector of length 1 for each film: its kind, and noise."""
    vectors = np.eye(KINDS)[kind] + noise * np.random.default_rng(2).standard_normal((FILMS, KINDS))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def varied(*trades: float) -> Table:
    """Kinds of one person's ten films, and how relevant they are, at each λ."""
    likes, kind = world()
    scores, vectors = (likes @ ease(likes, PENALTY))[0], content(kind)
    relevance = (scores - scores.min()) / (scores.max() - scores.min())
    lists = {trade: mmr(relevance, vectors, 10, trade) for trade in trades}
    rows = [(f"{t:g}", " ".join(str(kind[f]) for f in own), f"{relevance[own].mean():.2f}") for t, own in lists.items()]
    return Table(("λ", "tipos de las diez", "relevancia media"), tuple(rows))


live(varied, *TRADES)

# %% [markdown]
# ## 3 · Una película que nadie ha valorado
#
# Las valoraciones no dicen nada de ella. Su contenido sí: se aprende, sobre las demás, a ir del contenido a las
# puntuaciones de EASE, y se aplica a la nueva. Cambie RIDGE, o el ruido de `content` más arriba.

# %%
RIDGE, COLD = 1.0, 12


def cold_films(ridge: float, cold: int) -> Table:
    """Hidden likes of films without ratings that the head finds, and that chance finds."""
    likes, kind = world()
    warm, vectors = np.arange(FILMS - cold), content(kind)
    scores = likes[:, warm] @ ease(likes[:, warm], PENALTY)
    kernel = vectors @ vectors.T + 1
    head = np.linalg.solve(kernel[np.ix_(warm, warm)] + ridge * np.eye(len(warm)), kernel[warm, FILMS - cold :])
    nobody, wanted = np.zeros((PEOPLE, cold)), likes[:, FILMS - cold :]
    drawn = np.random.default_rng(3).random(wanted.shape)
    learned = found(scores @ head, nobody, wanted, 3)
    rows = (("cabeza", f"{learned:.3f}"), ("al azar", f"{found(drawn, nobody, wanted, 3):.3f}"))
    return Table(("películas frías", "me gusta hallados entre tres"), rows)


live(cold_films, RIDGE, COLD)
