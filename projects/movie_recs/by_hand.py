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

from shared.course.cells import Table

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


likes, kind = world()
shown = np.random.default_rng(1).random(likes.shape) < 0.7
known, hidden = likes * shown, likes * ~shown
compared = [
    (f"{penalty:g}", f"{found(known @ ease(known, penalty), known, hidden):.3f}") for penalty in (0.5, 5, PENALTY, 200)
]
most = np.tile(known.sum(0), (PEOPLE, 1))
Table(("λ", "me gusta hallados entre diez"), (*compared, ("popularidad", f"{found(most, known, hidden):.3f}")))

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


vectors = np.eye(KINDS)[kind] + 0.3 * np.random.default_rng(2).standard_normal((FILMS, KINDS))
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
one = (known @ ease(known, PENALTY))[0]
relevance = (one - one.min()) / (one.max() - one.min())
chosen = {trade: mmr(relevance, vectors, 10, trade) for trade in TRADES}
Table(
    ("λ", "tipos de las diez", "relevancia media"),
    tuple(
        (f"{trade:g}", " ".join(str(kind[film]) for film in films), f"{relevance[films].mean():.2f}")
        for trade, films in chosen.items()
    ),
)

# %% [markdown]
# ## 3 · Una película que nadie ha valorado
#
# Las valoraciones no dicen nada de ella. Su contenido sí: se aprende, sobre las demás, a ir del contenido a las
# puntuaciones de EASE, y se aplica a la nueva. Cambie RIDGE, o el ruido de `vectors` más arriba.

# %%
RIDGE, COLD = 1.0, 12
warm = np.arange(FILMS - COLD)
scores = likes[:, warm] @ ease(likes[:, warm], PENALTY)
kernel = vectors @ vectors.T + 1
head = np.linalg.solve(kernel[np.ix_(warm, warm)] + RIDGE * np.eye(len(warm)), kernel[warm, FILMS - COLD :])
nobody, wanted = np.zeros((PEOPLE, COLD)), likes[:, FILMS - COLD :]
drawn = np.random.default_rng(3).random(wanted.shape)
Table(
    ("películas frías", "me gusta hallados entre tres"),
    (
        ("cabeza sobre el contenido", f"{found(scores @ head, nobody, wanted, 3):.3f}"),
        ("al azar", f"{found(drawn, nobody, wanted, 3):.3f}"),
    ),
)
