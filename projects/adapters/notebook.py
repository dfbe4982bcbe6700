# %% [markdown]
# # Adaptadores: resultados
#
# **Pregunta.** Si en vez de afinar los 22,6 millones de parámetros de un codificador se entrenan sólo dos capas
# delgadas junto a cada subcapa, ¿qué exactitud se pierde y qué se gana en parámetros y en tiempo?
#
# Todo lo que sigue se lee de `projects/adapters/results/`; aquí no se entrena nada. `make results-adapters` y
# `make bench-adapters` rehacen esos ficheros, `make notebook-adapters` rehace este cuaderno.
#
# *English summary: bottleneck and parallel adapters on forward hooks in MiniLM, on TREC, movie reviews and synthetic
# entities, beside full fine-tuning, training from scratch, PEFT's LoRA and the `adapters` library. Every number is
# read from `results/`. Rates were chosen on validation; tables are on the test, mean over seeds.*

# %%
"""Results of adapters, shown from results/; source of results/notebook.ipynb."""

from pathlib import Path

from projects.adapters.tables import BENCH_NAMES, FULL, method
from shared.presentation.cells import Number, Picture, Table, rows_of
from shared.report import read_csv

RESULTS = Path("projects/adapters/results")
summary = read_csv(RESULTS / "parameters_accuracy.csv")
runs = read_csv(RESULTS / "runs.csv")
full = {row["dataset"]: row["score"] for row in summary if row["method"] == FULL}

# %% [markdown]
# ## Exactitud contra parámetros entrenados
#
# Cada fila es la media de varias semillas sobre textos de prueba que no se usaron para elegir nada. «A plenos» es la
# distancia al ajuste completo, en puntos porcentuales.

# %%
Table(
    ("tarea", "se entrena", "exactitud", "desv.", "a plenos", "parámetros", "tasa"),
    rows_of(
        (row for row in summary if not row["dataset"].startswith("ner")),
        lambda row: row["dataset"],
        lambda row: row["method"],
        lambda row: Number(f"accuracy of {row['method']} on {row['dataset']}", row["score"], ".4f"),
        lambda row: Number(f"sd of {row['method']} on {row['dataset']}", row["score_sd"], ".4f"),
        lambda row: f"{100 * (row['score'] - full[row['dataset']]):+.2f}",
        lambda row: f"{row['trained']:,} ({row['share']:.2%})",
        lambda row: f"{row['lr']:g}",
    ),
    "Preguntas de TREC y frases de reseñas de cine.",
)

# %%
Picture(RESULTS / "parameters_accuracy.png", "Distancia al ajuste completo contra parámetros entrenados")

# %% [markdown]
# ### ¿Es la diferencia mayor que el ruido?
#
# Distancia de cada adaptador al ajuste completo y el error típico de esa diferencia entre medias. Con tan pocas
# semillas el error es a su vez incierto: una distancia menor que dos errores no permite ordenar los métodos.

# %%
by_name = {(row["dataset"], row["method"]): row for row in summary}
compared = [row for row in summary if row["method"] in ("bottleneck, m = 64", "parallel, m = 64")]


def error_of(row: dict) -> float:
    """Standard error, in points, of the difference between a method's mean and full fine-tuning's."""
    other = by_name[row["dataset"], FULL]
    return 100 * (row["score_sd"] ** 2 / row["seeds"] + other["score_sd"] ** 2 / other["seeds"]) ** 0.5


Table(
    ("tarea", "adaptador", "puntos a plenos", "error típico"),
    rows_of(
        compared,
        lambda row: row["dataset"],
        lambda row: row["method"],
        lambda row: Number(
            f"gap of {row['method']} on {row['dataset']}", 100 * (row["score"] - full[row["dataset"]]), "+.2f"
        ),
        lambda row: Number(f"error of {row['method']} on {row['dataset']}", error_of(row), ".2f"),
    ),
)

# %% [markdown]
# ## Entidades sintéticas
#
# F1 estricto por entidad (tipo y extremos exactos). Ni los patrones de las frases ni los nombres de la prueba están en
# el entrenamiento. En el nivel 3 un mismo nombre puede ser de cualquiera de los cuatro tipos.

# %%
Table(
    ("nivel", "se entrena", "F1 estricto", "desv.", "F1 macro"),
    rows_of(
        (row for row in summary if row["dataset"].startswith("ner")),
        lambda row: row["dataset"],
        lambda row: row["method"],
        lambda row: Number(f"entity F1 of {row['method']} on {row['dataset']}", row["score"], ".4f"),
        lambda row: Number(f"sd of entity F1 of {row['method']} on {row['dataset']}", row["score_sd"], ".4f"),
        lambda row: f"{row['macro_f1']:.4f}",
    ),
)

# %% [markdown]
# ## Convergencia
#
# Pérdida de entrenamiento y puntuación de validación según avanzan los pasos; las bandas van de la peor a la mejor
# semilla.

# %%
Picture(RESULTS / "convergence_loss.png", "Pérdida de entrenamiento por paso")

# %%
Picture(RESULTS / "convergence_score.png", "Puntuación en validación por paso")

# %% [markdown]
# Pasos hasta el 95 % de la puntuación de validación del ajuste completo, y los segundos que son: pasos por el tiempo de
# un paso en el banco de pruebas.

# %%
times = read_csv(RESULTS / "time_to_95.csv")
Table(
    ("tarea", "se entrena", "meta", "pasos (mediana)", "ms por paso", "segundos"),
    rows_of(
        times,
        lambda row: row["dataset"],
        lambda row: row["method"],
        lambda row: f"{row['target']:.3f}",
        lambda row: row["steps"] if row["steps"] != "" else "nunca",
        lambda row: row["step_ms"] if row["step_ms"] != "" else "–",
        lambda row: row["seconds"] if row["seconds"] != "" else "–",
    ),
)

# %% [markdown]
# ## He contra Xavier, y lo que falla
#
# Con la proyección de subida en cero, la red empieza siendo la base, bit a bit, sea cual sea la distribución de la de
# bajada. Si se sortean las dos, la red empieza lejos de la base. Con tasas demasiado altas el entrenamiento
# **diverge**: tras 50 pasos la pérdida es mayor que la de adivinar.

# %%
studied = (RESULTS / "init_summary.csv").exists()
started = read_csv(RESULTS / "init_summary.csv") if studied else []
Table(
    ("se sortea", "tasa", "desviación inicial", "pérdida tras 50 pasos", "diverge"),
    rows_of(
        started,
        lambda row: row["setting"],
        lambda row: f"{row['lr']:g}",
        lambda row: Number(f"deviation of {row['setting']} at {row['lr']:g}", row["deviation"], ".3f"),
        lambda row: Number(f"loss of {row['setting']} at {row['lr']:g}", row["loss_after"], ".3f"),
        lambda row: f"{row['diverged']:.0%}",
    ),
    "" if studied else "El estudio aún no se ha ejecutado (`make results-adapters`).",
)

# %%
Picture(RESULTS / "init.png", "Desviación inicial, pérdida y divergencia") if studied else None

# %% [markdown]
# ## El tiempo de un paso
#
# Los pasos de todos los brazos se alternan en una misma ejecución, así que se comparan razones: ganchos contra los
# mismos adaptadores escritos dentro de los bloques, contra PEFT, contra la biblioteca `adapters` y contra el ajuste
# completo.

# %%
Table(
    ("tarea", "contra", "nuestro paso / el otro", "cuartiles", "memoria máxima"),
    rows_of(
        read_csv(RESULTS / "bench.csv"),
        lambda row: row["dataset"],
        lambda row: BENCH_NAMES[row["arm"]].replace("`", ""),
        lambda row: Number(f"step time over {row['arm']} on {row['dataset']}", row["ours_over_arm"], ".3f"),
        lambda row: f"{row['ratio_q1']:.3f} a {row['ratio_q3']:.3f}",
        lambda row: f"{row['peak_mb']:.0f} MB",
    ),
)

# %% [markdown]
# ## Lo que esto no dice
#
# Un solo codificador pequeño, textos cortos, pocos pasos y pocas semillas. Las entidades son sintéticas. El número de
# ejecuciones que hay detrás de las tablas:

# %%
finals = [row for row in runs if row["final"]]
Table(
    ("ejecuciones", "de ellas en las tablas", "métodos", "casos del estudio de inicio"),
    (
        (
            Number("runs", len(runs), ".0f"),
            Number("final runs", len(finals), ".0f"),
            Number("methods", len({method(r) for r in finals}), ".0f"),
            Number("settings of the study", len(started), ".0f"),
        ),
    ),
)
