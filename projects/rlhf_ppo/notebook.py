# %% [markdown]
# # PPO desde cero sobre un modelo de lenguaje: resultados
#
# **Pregunta.** ¿Se puede acercar un modelo de 135 millones de parámetros a lo que gusta, sólo con comparaciones? ¿Y
# qué le pasa al texto cuando nada lo sujeta al modelo de partida?
#
# SmolLM2 continúa comienzos de reseñas de cine. Un juez oculto (la *recompensa verdadera*) prefiere una de dos
# continuaciones, con ruido; un modelo de recompensa aprende de esas elecciones y PPO aprende de él. Todo lo que sigue
# se lee de `projects/rlhf_ppo/results/`; `make results-rlhf_ppo` rehace esos ficheros, `make notebook-rlhf_ppo` este
# cuaderno.
#
# *English summary: preferences of a hidden judge, a Bradley–Terry reward model on a frozen encoder, and PPO with LoRA
# on SmolLM2. Held-out prompts, seeds as in the table. Every number is read from `results/`; nothing is trained here.*

# %%
"""Results of rlhf_ppo, shown from results/; source of results/notebook.ipynb."""

from pathlib import Path

from projects.rlhf_ppo.analysis.metrics_rl import ARMS
from shared.presentation.cells import Number, Picture, Table, rows_of
from shared.report import read_csv

RESULTS = Path("projects/rlhf_ppo/results")
NAMES = {
    "target": "KL guiada a un objetivo",
    "free": "sin penalización",
    "long": "sin penalización, el doble de rondas",
}
assert NAMES.keys() == ARMS.keys()
summary = {row["arm"]: row for row in read_csv(RESULTS / "summary.csv")}
runs = read_csv(RESULTS / "runs.csv")
deciders = read_csv(RESULTS / "deciders.csv")

# %% [markdown]
# ## ¿Quién acierta las comparaciones?
#
# Antes de usar un modelo de recompensa hay que saber si aprendió calidad o un atajo. Una regresión que sólo ve la
# longitud, o la primera palabra, no debería acertar más que el azar tras el equilibrado; si acierta, el modelo de
# recompensa también pudo aprender eso. El juez, sin su ruido, pone el techo.

# %%
Table(
    ("quién decide", "comparaciones", "aciertos", "intervalo del 95 %", "preguntadas"),
    rows_of(
        deciders,
        lambda row: row["decider"],
        lambda row: {"balanced": "equilibradas", "as sampled": "sin equilibrar"}[row["data"]],
        lambda row: Number(f"share right: {row['decider']}, {row['data']}", row["share"], ".3f"),
        lambda row: f"{row['low']:.3f} a {row['high']:.3f}",
        lambda row: row["asked"],
    ),
)

# %% [markdown]
# ## Antes y después de PPO
#
# Comienzos que no se usaron para entrenar nada. La ganancia se empareja por comienzo; su intervalo es un *bootstrap*
# sobre los comienzos. «Recompensa aprendida» es lo que PPO maximiza; «verdadera», lo que opina el juez, que PPO no
# ve.

# %%
Table(
    ("penalización", "verdadera", "ganancia", "intervalo del 95 %", "aprendida", "KL, nats", "distinct-2", "semillas"),
    rows_of(
        summary.values(),
        lambda row: NAMES[row["arm"]],
        lambda row: Number(f"gold after, {row['arm']}", row["after_gold"], ".3f"),
        lambda row: Number(f"gain, {row['arm']}", row["gain"], "+.3f"),
        lambda row: f"{row['gain_low']:+.3f} a {row['gain_high']:+.3f}",
        lambda row: Number(f"proxy after, {row['arm']}", row["after_proxy"], ".3f"),
        lambda row: Number(f"KL after, {row['arm']}", row["after_kl"], ".2f"),
        lambda row: Number(f"distinct-2 after, {row['arm']}", row["after_distinct_2"], ".3f"),
        lambda row: row["seeds"],
    ),
    "Partida: verdadera {:.3f}, distinct-2 {:.3f}.".format(
        *(next(iter(summary.values()))[name] for name in ("before_gold", "before_distinct_2"))
    ),
)

# %%
Picture(RESULTS / "curves.png", "Recompensas, KL, entropía, recorte y pérdida de valor, ronda a ronda")

# %% [markdown]
# ## Sobreoptimización
#
# Lo que gana la recompensa aprendida y no gana la verdadera se ganó engañando al modelo de recompensa. El eje es √KL:
# cuánto se ha alejado la política del modelo de partida.

# %%
Picture(RESULTS / "proxy_gold.png", "Recompensa aprendida y verdadera contra √KL, un panel por penalización")

# %% [markdown]
# ## ¿En qué se va el tiempo?

# %%
Table(
    ("parte", "segundos, mediana", "cuartiles"),
    rows_of(
        read_csv(RESULTS / "bench.csv"),
        lambda row: row["part"],
        lambda row: Number(f"seconds: {row['part']}", row["seconds"], ".2f"),
        lambda row: f"{row['q1']:.2f} a {row['q3']:.2f}",
    ),
)

# %% [markdown]
# ## Lo que esto no dice
#
# El juez es también un modelo: cuando la política abandona el lenguaje de las reseñas, su opinión es una
# extrapolación. Un modelo pequeño, respuestas de 24 *tokens* y pocas semillas.

# %%
Table(
    ("ejecuciones", "comienzos reservados por ejecución"),
    ((Number("runs", len(runs), ".0f"), Number("held-out prompts", runs[0]["prompts"], ".0f")),),
)
