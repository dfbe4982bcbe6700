# %% [markdown]
# # Inferencia y ONNX: resultados
#
# **Pregunta.** ¿Qué aportan ONNX Runtime, int8, una caché y los lotes a dos modelos pequeños, y se conservan las
# respuestas?
#
# Todo lo que sigue se lee de `projects/onnx_serving/results/`; aquí no se entrena ni se mide nada. `make
# results-onnx_serving` y `make bench-onnx_serving` rehacen esos ficheros, `make notebook-onnx_serving` este cuaderno.
#
# *English summary: MiniLM answering questions about films, SmolLM2 writing; torch against ONNX Runtime, float32 and
# int8, and a server with dynamic batching under overload. Every number below is read from `results/`.*

# %%
"""Results of onnx_serving, shown from results/; source of results/notebook.ipynb."""

import json
from pathlib import Path

from shared.presentation.cells import Number, Picture, Table, rows_of
from shared.report import read_csv

RESULTS = Path("projects/onnx_serving/results")
bench = read_csv(RESULTS / "bench.csv")
encoded = [row for row in bench if row["task"] == "encode"]
machine = json.loads((RESULTS / "bench.json").read_text(encoding="utf-8"))

# %% [markdown]
# ## Preguntas sobre películas que el modelo no ha visto
#
# Media y desviación entre semillas. Las redacciones nuevas no aparecen en el entrenamiento.

# %%
(summary,) = read_csv(RESULTS / "summary.csv")
Table(
    ("redacción", "F1", "desv.", "acierto exacto", "F1 de «sin respuesta»"),
    rows_of(
        (
            {"said": "como en el entrenamiento", "of": "films", "none": "no_answer_f1"},
            {"said": "nuevas", "of": "wordings", "none": "wordings_no_answer_f1"},
        ),
        lambda row: row["said"],
        lambda row: Number(f"F1 on {row['of']}", summary[f"{row['of']}_f1"], ".4f"),
        lambda row: Number(f"sd of F1 on {row['of']}", summary[f"{row['of']}_f1_sd"], ".4f"),
        lambda row: Number(f"exact match on {row['of']}", summary[f"{row['of']}_exact"], ".4f"),
        lambda row: Number(f"no-answer F1 on {row['of']}", summary[row["none"]], ".4f"),
    ),
    f"Semillas: {summary['seeds']}.",
)

# %% [markdown]
# ## ¿Se conservan las respuestas?
#
# Las mismas preguntas con cada motor, media de las semillas, y los textos de cada decodificador frente a los de la
# biblioteca.

# %%
Table(
    ("motor", "preguntas", "F1", "mismas respuestas que torch", "productos en int8"),
    rows_of(
        read_csv(RESULTS / "answers.csv"),
        lambda row: row["backend"],
        lambda row: row["questions"],
        lambda row: Number(f"F1 of {row['backend']}", row["answered_f1"], ".4f"),
        lambda row: Number(f"agreement of {row['backend']}", row["same"], ".4f"),
        lambda row: row["int8_products"],
    ),
)

# %% [markdown]
# Antes de cuantizar el codificador, cada canal de las activaciones se divide por un número y los pesos que encuentra se
# multiplican por él (SmoothQuant). La fuerza α se eligió en películas de validación.

# %%
Table(
    ("α", "preguntas", "distancia media de los márgenes", "mismas respuestas que float32"),
    rows_of(
        read_csv(RESULTS / "smoothing.csv"),
        lambda row: {"none": "sin suavizar"}.get(row["strength"], row["strength"]),
        lambda row: row["questions"],
        lambda row: Number(f"distance of margins at {row['strength']}", row["margin_distance"], ".3f"),
        lambda row: Number(f"same answers at {row['strength']}", row["same"], ".4f"),
    ),
)

# %%
Table(
    (
        "decodificador",
        "prompts",
        "en lote = de uno en uno",
        "mismo texto que generate",
        "tokens iguales hasta la primera diferencia",
    ),
    rows_of(
        read_csv(RESULTS / "texts.csv"),
        lambda row: row["backend"],
        lambda row: row["prompts"],
        lambda row: Number(f"batched agreement of {row['backend']}", row["batched_same"], ".3f"),
        lambda row: Number(f"texts of {row['backend']}", row["same"], ".3f"),
        lambda row: Number(f"common tokens of {row['backend']}", row["common"], ".3f"),
    ),
)

# %% [markdown]
# ## El codificador
#
# Medianas con los mismos hilos a ambos lados, en turnos alternos. La ganancia es sobre torch en float32.

# %%
Table(
    ("motor", "filas", "tokens", "hilos", "p50 [ms]", "p99 [ms]", "ganancia"),
    rows_of(
        encoded,
        lambda row: row["arm"],
        lambda row: row["rows"],
        lambda row: row["tokens"],
        lambda row: row["threads"],
        lambda row: f"{row['p50_ms']:.1f}",
        lambda row: f"{row['p99_ms']:.1f}",
        lambda row: Number(
            f"gain of {row['arm']} at {row['rows']}x{row['tokens']}, {row['threads']} threads",
            row["gain"],
            ".2f",
        ),
    ),
    f"Int8 en un paso (VNNI o AMX): {'sí' if machine['vnni'] else 'no'}.",
)

# %%
Picture(RESULTS / "encoder.png", "Latencia mediana del codificador según filas y tokens")

# %% [markdown]
# ## Generación: con caché y sin ella

# %%
Table(
    ("motor", "cómo", "filas", "tokens/s"),
    rows_of(
        [row for row in bench if row["task"] != "encode"],
        lambda row: row["arm"],
        lambda row: {"generate": "con caché", "recompute": "sin caché", "library": "su propio bucle"}[row["task"]],
        lambda row: row["rows"],
        lambda row: Number(f"tokens/s of {row['arm']}, {row['task']}, {row['rows']}", row["per_second"], ".1f"),
    ),
)

# %%
Picture(RESULTS / "generation.png", "Tokens generados por segundo")

# %% [markdown]
# ## El relleno
#
# Artículos reales de longitudes muy distintas, por orden de llegada y ordenados antes de agrupar.

# %%
Table(
    ("esquema", "relleno", "artículos/s"),
    rows_of(
        read_csv(RESULTS / "padding.csv"),
        lambda row: row["scheme"],
        lambda row: Number(f"padding, {row['scheme']}", row["waste"], ".3f"),
        lambda row: Number(f"articles/s, {row['scheme']}", row["articles_per_second"], ".1f"),
    ),
)

# %% [markdown]
# ## El servidor
#
# Sola, saturada, y después con el doble de la carga que sostiene: lo que no cabe recibe un 503 con `Retry-After`.

# %%
Table(
    ("ruta", "p50 sola [ms]", "respuestas/s de una en una", "en lotes", "ganancia"),
    rows_of(
        read_csv(RESULTS / "server.csv"),
        lambda row: row["route"],
        lambda row: f"{row['alone_p50_ms']:.1f}",
        lambda row: f"{row['unbatched_per_second']:.1f}",
        lambda row: f"{row['batched_per_second']:.1f}",
        lambda row: Number(f"gain of batching, {row['route']}", row["gain"], ".2f"),
    ),
)

# %%
(load,) = read_csv(RESULTS / "load.csv")
Table(
    ("llegadas/s", "peticiones", "aceptadas", "503", "otras", "p99 aceptadas [ms]", "sobre el p99 sin carga"),
    (
        (
            Number("arrivals a second", load["rate"], ".1f"),
            load["requests"],
            load["accepted"],
            load["refused"],
            Number("neither accepted nor refused", load["other"], ".0f"),
            Number("p99 of the accepted", load["accepted_p99_ms"], ".0f"),
            Number("p99 over the unloaded", load["over_unloaded_p99"], ".2f"),
        ),
    ),
)

# %%
Picture(RESULTS / "load.png", "Peticiones aceptadas y rechazadas, y latencia máxima, segundo a segundo")

# %% [markdown]
# ## Lo que esto no dice
#
# Dos modelos pequeños, una máquina y preguntas de cuatro clases hechas por reglas: no se sigue nada sobre preguntas
# abiertas ni sobre otros procesadores. Sin VNNI o AMX, int8 gana mucho menos.
