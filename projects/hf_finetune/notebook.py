# %% [markdown]
# # Ajuste fino con Trainer: resultados
#
# **Pregunta.** Con sólo 500 frases de entrenamiento, ¿hacen AWP y mixout que el ajuste fino de un codificador sea
# mejor, o al menos menos dependiente de la semilla? ¿Y sobrevive el entrenamiento a quedarse sin memoria?
#
# Todo lo que sigue se lee de `projects/hf_finetune/results/`; aquí no se entrena nada. `make results-hf_finetune`
# rehace esos ficheros, `make notebook-hf_finetune` rehace este cuaderno.
#
# *English summary: MiniLM fine-tuned by the Trainer on 500 product-review sentences, plain, with mixout, with AWP, with
# both. Every number below is read from `results/`; rate, γ and p were chosen on validation.*

# %%
"""Results of hf_finetune, shown from results/; source of results/notebook.ipynb."""

import json
from pathlib import Path

from projects.hf_finetune.tables import FAULT_TEXT
from shared.presentation.cells import Number, Picture, Table, rows_of
from shared.report import read_csv

RESULTS = Path("projects/hf_finetune/results")
summary = {row["arm"]: row for row in read_csv(RESULTS / "summary.csv")}
runs = read_csv(RESULTS / "runs.csv")
baselines = read_csv(RESULTS / "baseline.csv")
data = json.loads((RESULTS / "data.json").read_text(encoding="utf-8"))

# %% [markdown]
# ## Los datos
#
# Frases de reseñas de producto con la media de 20 evaluadores. Se limpian, se quitan copias y casi copias, y se dividen
# por reseña: ninguna reseña de prueba aporta una frase al entrenamiento.

# %%
Table(
    ("partición", "frases", "reseñas", "negativas", "neutras", "positivas", "tokens (mediana)"),
    rows_of(
        [{**part, "name": name} for name, part in data["splits"].items()],
        lambda part: part["name"],
        lambda part: part["sentences"],
        lambda part: part["groups"],
        lambda part: part["classes"]["negative"],
        lambda part: part["classes"]["neutral"],
        lambda part: part["classes"]["positive"],
        lambda part: part["tokens"]["median"],
    ),
    "El entrenamiento es una muestra de las frases de sus reseñas, la misma para todas las semillas.",
)

# %%
Table(
    ("motivo", "frases descartadas"),
    rows_of(
        [{**each, "name": name} for name, each in data["dropped"].items()],
        lambda each: each["name"],
        lambda each: each["count"],
    ),
)

# %% [markdown]
# ## Cuatro maneras de entrenar, las mismas semillas
#
# La prueba pareada compara cada manera con el entrenamiento normal, semilla a semilla, cambiando los signos de las
# diferencias de todas las formas posibles. Con n pares su valor p no puede bajar de 2/2ⁿ.

# %%
Table(
    ("se entrena", "exactitud", "macro-F1", "desv.", "peor semilla", "a normal, puntos", "p", "semillas"),
    rows_of(
        summary.values(),
        lambda row: row["arm"],
        lambda row: Number(f"accuracy of {row['arm']}", row["accuracy"], ".4f"),
        lambda row: Number(f"macro-F1 of {row['arm']}", row["macro_f1"], ".4f"),
        lambda row: Number(f"sd of {row['arm']}", row["macro_f1_sd"], ".4f"),
        lambda row: Number(f"worst seed of {row['arm']}", row["worst_macro_f1"], ".4f"),
        lambda row: Number(f"gain of {row['arm']}", 100 * row["gain_macro_f1"], "+.2f"),
        lambda row: f"{row['p_value']:.4f}",
        lambda row: row["seeds"],
    ),
)

# %%
Picture(RESULTS / "arms.png", "Macro-F1 de prueba de cada semilla bajo las cuatro maneras de entrenar")

# %%
Picture(RESULTS / "learning.png", "Pérdida de validación tras cada época")

# %% [markdown]
# ### Contra referencias que no entrenan ninguna red
#
# Regresión logística sobre TF-IDF de palabras y pares de palabras, y sobre los vectores del codificador congelado, con
# las mismas frases; C se eligió en validación.

# %%
Table(
    ("referencia", "exactitud", "macro-F1", "ECE"),
    rows_of(
        baselines,
        lambda row: {"frozen encoder": "codificador congelado"}.get(row["baseline"], row["baseline"]),
        lambda row: Number(f"accuracy of {row['baseline']}", row["accuracy"], ".4f"),
        lambda row: Number(f"macro-F1 of {row['baseline']}", row["macro_f1"], ".4f"),
        lambda row: Number(f"ECE of {row['baseline']}", row["ece"], ".4f"),
    ),
)

# %% [markdown]
# ## Dónde se equivoca
#
# El entrenamiento normal con la semilla 0. La clase neutra es la difícil: también a los evaluadores les cuesta.

# %%
Picture(RESULTS / "confusion_matrix.png", "Matriz de confusión en las frases de prueba")

# %%
Picture(RESULTS / "reliability.png", "Diagrama de fiabilidad en las frases de prueba")

# %%
report = json.loads((RESULTS / "report.json").read_text(encoding="utf-8"))
Table(
    ("verdadera", "predicha", "confianza", "frase"),
    rows_of(
        report["worst"][:6],
        lambda row: row["true"],
        lambda row: row["predicted"],
        lambda row: f"{row['confidence']:.2f}",
        lambda row: row["text"][:90],
    ),
    "Los errores más seguros de sí mismos.",
)

# %% [markdown]
# ## Quedarse sin memoria a propósito
#
# El mismo entrenamiento, interrumpido a mitad de la segunda época de cuatro maneras. Cada uno acaba, con el mismo lote
# efectivo y microlotes de la mitad; la última columna dice a cuántas desviaciones de las semillas queda.

# %%
Table(
    ("cómo", "microlote final", "pasos", "macro-F1", "desviaciones"),
    rows_of(
        read_csv(RESULTS / "faults.csv"),
        lambda row: FAULT_TEXT[row["fault"]],
        lambda row: row["micro_batch"],
        lambda row: row["steps"],
        lambda row: Number(f"macro-F1 after {row['fault']}", row["macro_f1"], ".4f"),
        lambda row: Number(f"distance after {row['fault']}", row["off_in_sd"], "+.2f"),
    ),
)

# %% [markdown]
# ## Lo que cuesta un paso
#
# AWP hace dos pasadas hacia delante y atrás en vez de una; mixout sólo mezcla matrices.

# %%
Table(
    ("paso", "tiempo / normal", "cuartiles", "memoria máxima"),
    rows_of(
        read_csv(RESULTS / "bench.csv"),
        lambda row: row["arm"],
        lambda row: Number(f"step time of {row['arm']}", row["over_plain"], ".3f"),
        lambda row: f"{row['ratio_q1']:.3f} a {row['ratio_q3']:.3f}",
        lambda row: f"{row['peak_mb']:.0f} MB",
    ),
)

# %% [markdown]
# ## Lo que esto no dice
#
# Un codificador pequeño, una tarea y pocas semillas. El número de ejecuciones que hay detrás:

# %%
Table(
    ("ejecuciones", "de ellas en la tabla"),
    ((Number("runs", len(runs), ".0f"), Number("final runs", sum(row["final"] for row in runs), ".0f")),),
)
