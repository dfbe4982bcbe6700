# %% [markdown]
# # Temas de noticias: la idea, y lo medido
#
# **Pregunta.** Un clasificador aprendido con noticias de 2004, ¿sigue acertando cuando las noticias cambian, y cuándo
# conviene actualizarlo?
#
# Primero se hace a mano, con noticias de juguete que son puntos de un plano: cambie los números en mayúsculas y vuelva
# a ejecutar la celda. Después viene lo medido, que se lee de `projects/news_cls/results/`; `make results-news_cls` lo
# rehace y `make notebook-news_cls` este cuaderno.
#
# *English summary: self-training with few labels, label shift told from input drift, and updates with and without
# replay, by hand on points of a plane; then the recorded results.*

# %%
"""Self-training, drift and replay by hand: the first cells of results/notebook.ipynb."""

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import mannwhitneyu
from sklearn.linear_model import LogisticRegression

from shared.course.cells import Table, live

# %% [markdown]
# ## 1 · Pocas etiquetas, muchas noticias
#
# Tres temas son tres nubes. Con pocas etiquetas la frontera depende de cuáles tocaron; las noticias sin etiqueta dicen
# dónde están las nubes. Se repite: decir el tema de todas, creer la mitad más segura de cada tema, aprender otra vez.
# Suba la anchura hasta que las nubes se toquen: lo que se cree deja de ser cierto, y no hay nadie que lo diga.

# %%
LABELS, UNLABELLED, WIDTH = 2, 300, 1.0
CENTRES = np.array([[0.0, 2.2], [-2.0, -1.2], [2.0, -1.2]])

Points = Float[np.ndarray, "n 2"]
Topics = Int[np.ndarray, " n"]


def news(
    count: int, width: float, seed: int, shares: tuple[float, ...] = (1, 1, 1), turn: float = 0.0
) -> tuple[Points, Topics]:
    """Points around the centre of their topic; with `turn` the centres have moved around the origin (radians)."""
    source = np.random.default_rng(seed)
    topics = source.choice(3, size=count, p=np.array(shares) / sum(shares))
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return (CENTRES @ rotation)[topics] + width * source.normal(size=(count, 2)), topics


def self_trained(labels: int, unlabelled: int, width: float) -> Table:
    """Accuracy of labels alone, and after each round of believing the surest."""
    rows: list[list[float]] = []
    for seed in range(20):
        known = [news(labels, 1.0, 100 * seed + topic, shares=tuple(np.eye(3)[topic])) for topic in range(3)]
        points, topics = (np.concatenate(each) for each in zip(*known, strict=True))
        rest, _ = news(unlabelled, width, 7000 + seed)
        test, truth = news(500, width, 9000 + seed)
        model = LogisticRegression().fit(points, topics)
        rows.append([model.score(test, truth)])
        for _ in range(4):
            said, sure = model.predict(rest), model.predict_proba(rest).max(1)
            taken = np.concatenate([np.flatnonzero(said == t)[np.argsort(-sure[said == t])[: (said == t).sum() // 2]]
                                    for t in range(3)])  # fmt: skip
            model = LogisticRegression().fit(
                np.concatenate([points, rest[taken]]), np.concatenate([topics, said[taken]])
            )
            rows[-1].append(model.score(test, truth))
    means, worst = np.mean(rows, axis=0), np.min(rows, axis=0)
    named = ["etiquetas solas", *(f"ronda {n}" for n in range(1, 5))]
    shown = ((name, f"{m:.3f}", f"{w:.3f}") for name, m, w in zip(named, means, worst, strict=True))
    return Table(("", "exactitud, media de 20", "la peor"), tuple(shown))


live(self_trained, LABELS, UNLABELLED, WIDTH)

# %% [markdown]
# ## 2 · ¿Cambió la proporción, o cambiaron las noticias?
#
# Si sólo cambian las proporciones, la confusión del clasificador dice cuáles son las nuevas: C·w = μ. Con ellas se
# vuelve a sortear la referencia; si el lote se le parece, no hay más que eso. Si aun así un segundo clasificador
# distingue las dos, las noticias son otras. Gire las nubes (`TURN`) o cambie `SHARES`, y mire qué columna da la alarma.

# %%
SHARES, TURN = (1, 2, 5), 0.0


def told_apart(shares: tuple[float, ...], turn: float) -> Table:
    """Shares as estimated, and p of the batch against the reference as it was and as drawn again."""
    model = LogisticRegression().fit(*news(300, 1.0, 11))
    old, labels = news(600, 1.0, 12)
    batch, truth = news(200, 1.0, 13, shares, turn)
    joint = np.zeros((3, 3))
    np.add.at(joint, (model.predict(old), labels), 1 / len(labels))
    weights = np.clip(np.linalg.solve(joint, np.bincount(model.predict(batch), minlength=3) / len(batch)), 0, None)
    kept = np.random.default_rng(14).random(len(labels)) < weights[labels] / weights.max()
    estimated = weights * np.bincount(labels) / len(labels)
    rows = [("proporciones, verdad", *(f"{s:.2f}" for s in np.bincount(truth, minlength=3) / len(truth))),
            ("estimadas sin etiquetas", *(f"{s:.2f}" for s in estimated)),
            ("p contra la referencia", f"{rank_test(old, batch):.3f}", "", ""),
            ("p con las proporciones nuevas", f"{rank_test(old[kept], batch):.3f}", "", "")]  # fmt: skip
    return Table(("", "A", "B", "C"), tuple(rows))


def rank_test(old: Points, new: Points) -> float:
    """A classifier learns on one half of each to tell them apart; are its scores of the other halves in order?"""
    half_old, half_new = len(old) // 2, len(new) // 2
    learn = np.concatenate([old[:half_old], new[:half_new]])
    model = LogisticRegression(class_weight="balanced").fit(learn, np.repeat([0, 1], [half_old, half_new]))
    scores = [model.decision_function(each) for each in (new[half_new:], old[half_old:])]
    return float(mannwhitneyu(*scores, alternative="greater").pvalue)


live(told_apart, SHARES, TURN)

# %% [markdown]
# ## 3 · Aprender lo nuevo sin olvidar lo viejo
#
# Las nubes giran. Seguir aprendiendo sólo con lo nuevo olvida lo viejo, tanto más cuanto más giran; repasar lo viejo a
# la vez conserva casi todo, mientras un mismo corte pueda servir a los dos. Pruebe `MOVED = 1.5`: ya no puede.

# %%
MOVED, NEW = 0.7, 15


def after(moved: float, new: int) -> Table:
    """Accuracy on the old and on the new, by way of updating."""
    old, topics = news(300, 0.8, 1)
    fresh, said = news(3 * new, 0.8, 2, turn=moved)
    tests = [news(1000, 0.8, 3), news(1000, 0.8, 4, turn=moved)]
    share = len(topics) / len(said)
    both = np.concatenate([old, fresh]), np.concatenate([topics, said])
    ways = {"sin actualizar": (old, topics, np.ones(len(topics))), "solo lo nuevo": (fresh, said, np.ones(len(said))),
            "con repaso, mitad y mitad": (*both, np.repeat([1.0, share], [len(topics), len(said)]))}  # fmt: skip
    rows = []
    for name, (points, labels, weights) in ways.items():
        model = LogisticRegression().fit(points, labels, sample_weight=weights)
        rows.append((name, *(f"{model.score(*test):.3f}" for test in tests)))
    return Table(("", "en lo viejo", "en lo nuevo"), tuple(rows))


live(after, MOVED, NEW)

# %% [markdown]
# Una puerta que mira las dos columnas deja pasar la última fila y no la segunda. La del proyecto pide más: que la
# ganancia en lo nuevo sea mayor que cero, y la pérdida en lo viejo menor que dos puntos, con sus intervalos.
