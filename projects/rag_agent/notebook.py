# %% [markdown]
# # RAG y agentes: resultados
#
# **Pregunta.** ¿Cuánto mejora un modelo pequeño (SmolLM2, 135 millones de parámetros) cuando antes de contestar se
# le dan los pasajes que un buscador encuentra, y qué parte de lo que falta es culpa de buscar y cuál de leer?
#
# Todo lo que sigue se lee de `projects/rag_agent/results/`; aquí no se mide nada. `make results-rag_agent` y `make
# bench-rag_agent` rehacen esos ficheros, `make notebook-rag_agent` rehace este cuaderno.
#
# *English summary: retrieval-augmented answers over 764 film articles. Every number below is read from `results/`.
# Weights, threshold and prompt were chosen on two fifths of the films; the numbers are on the other three fifths.*

# %%
"""Results of rag_agent, shown from results/; source of results/notebook.ipynb."""

from pathlib import Path

from projects.rag_agent.tables import ARMS, INDEXES, METHODS, POLICIES, SETS
from shared.presentation.cells import Number, Picture, Table, rows_of
from shared.report import read_csv

RESULTS = Path("projects/rag_agent/results")
retrieval = read_csv(RESULTS / "retrieval.csv")
overall = read_csv(RESULTS / "answers_overall.csv")
refusal = read_csv(RESULTS / "refusal.csv")

# %% [markdown]
# ## Buscar: palabras, vectores o ambos
#
# Tres juegos de preguntas sobre la misma película, sin ninguna palabra de su título y con cada vez menos palabras
# del artículo. Los intervalos son de 95 % y se obtienen volviendo a sortear películas.

# %%
Table(
    ("preguntas", "palabras compartidas", "método", "recall@1", "recall@5", "MRR", "intervalo del MRR"),
    rows_of(
        retrieval,
        lambda row: SETS[row["questions"]],
        lambda row: f"{row['shared']:.0%}",
        lambda row: METHODS[row["method"]],
        lambda row: Number(f"recall@1 of {row['method']} on {row['questions']}", row["recall_1"], ".3f"),
        lambda row: Number(f"recall@5 of {row['method']} on {row['questions']}", row["recall_5"], ".3f"),
        lambda row: Number(f"MRR of {row['method']} on {row['questions']}", row["mrr"], ".3f"),
        lambda row: f"{row['mrr_low']:.3f} a {row['mrr_high']:.3f}",
    ),
    "Películas de prueba; los pesos de las fusiones se eligieron en otras.",
)

# %%
Picture(RESULTS / "retrieval.png", "Rango recíproco medio por método, un panel por juego de preguntas")

# %% [markdown]
# ### ¿Es la fusión al menos tan buena como el mejor de los dos?
#
# Diferencia de MRR, película a película, entre la fusión de puntuaciones y cada método. Un intervalo que contiene
# el cero no permite ordenar. La meta era no perder con ninguno: donde la diferencia es negativa, no se alcanza.

# %%
Table(
    ("preguntas", "fusión menos", "MRR", "intervalo"),
    rows_of(
        read_csv(RESULTS / "differences.csv"),
        lambda row: SETS[row["questions"]],
        lambda row: METHODS[row["minus"]],
        lambda row: Number(f"MRR of the fusion minus {row['minus']} on {row['questions']}", row["mrr"], "+.3f"),
        lambda row: f"{row['low']:+.3f} a {row['high']:+.3f}",
    ),
)

# %% [markdown]
# ## Contestar: con y sin pasajes
#
# «En sus pasajes» es la cota superior de quien copia: la respuesta correcta está en lo que se le dio al modelo.
# «Fiel»: lo que el modelo dice de más sobre la pregunta está en un pasaje que cita.

# %%
Table(
    ("el modelo contesta", "acierto exacto", "F1", "nombra la respuesta", "en sus pasajes", "fiel", "preguntas"),
    rows_of(
        overall,
        lambda row: ARMS[row["arm"]],
        lambda row: Number(f"exact match {row['arm']}", row["exact"], ".3f"),
        lambda row: Number(f"F1 {row['arm']}", row["f1"], ".3f"),
        lambda row: Number(f"names it {row['arm']}", row["named"], ".3f"),
        lambda row: f"{row['in_passages']:.3f}" if row["in_passages"] != "" else "–",
        lambda row: f"{row['faithful']:.3f}" if row["faithful"] != "" else "–",
        lambda row: row["questions"],
    ),
)

# %%
Picture(RESULTS / "answers.png", "Acierto exacto por tipo de pregunta, con la cota que fijan los pasajes")

# %% [markdown]
# ## Callar
#
# El umbral se eligió en otras películas. Las preguntas sobre películas que no están en el índice son las difíciles:
# usan las mismas palabras que las demás.

# %%
Table(
    ("pregunta", "rechazadas", "intervalo", "preguntas"),
    rows_of(
        refusal,
        lambda row: row["questions"],
        lambda row: Number(f"refused, {row['questions']}", row["refused"], ".3f"),
        lambda row: f"{row['low']:.3f} a {row['high']:.3f}",
        lambda row: row["count"],
    ),
)

# %%
Picture(RESULTS / "refusal.png", "Proporción rechazada según el umbral, por tipo de pregunta")

# %% [markdown]
# ## ¿Quién elige la herramienta?

# %%
Table(
    ("elige", "decisión legible", "herramienta correcta", "y argumentos"),
    rows_of(
        read_csv(RESULTS / "routing.csv"),
        lambda row: POLICIES[row["policy"]],
        lambda row: Number(f"parsed, {row['policy']}", row["parsed"], ".3f"),
        lambda row: Number(f"right tool, {row['policy']}", row["right"], ".3f"),
        lambda row: Number(f"usable, {row['policy']}", row["usable"], ".3f"),
    ),
)

# %% [markdown]
# ## El índice cuando crece
#
# Frases reales hasta 100 000, con búsqueda exacta, con el grafo HNSW y con Milvus. Los tiempos valen para la
# máquina de `bench.json`.

# %%
Table(
    ("índice", "vectores", "búsqueda, p50 (ms)", "construir (s)", "memoria (MB)"),
    rows_of(
        read_csv(RESULTS / "bench.csv"),
        lambda row: INDEXES[row["arm"]],
        lambda row: f"{row['vectors']:,}",
        lambda row: Number(f"p50 of {row['arm']} at {row['vectors']}", row["p50_ms"], ".2f"),
        lambda row: f"{row['build_s']:.2f}",
        lambda row: f"{row['memory_mb']:.0f}",
    ),
)

# %%
Picture(RESULTS / "growth.png", "Tiempo de búsqueda, construcción y memoria según el número de vectores")

# %%
Table(
    ("vectores", "efSearch", "encontrados de los diez exactos"),
    rows_of(
        read_csv(RESULTS / "recall.csv"),
        lambda row: f"{row['vectors']:,}",
        lambda row: f"{row['ef_search']:g}",
        lambda row: Number(f"recall at {row['vectors']}, efSearch {row['ef_search']:g}", row["recall"], ".3f"),
    ),
)

# %% [markdown]
# ## Un ensayo que falla a propósito
#
# Se mata el proceso (kill -9) en un momento cualquiera mientras guarda el índice, cincuenta veces. Tiene que
# cargarse siempre, como la versión vieja o como la nueva.

# %%
crashes = read_csv(RESULTS / "crash.csv")
Table(
    ("muertes", "se cargó", "como versión nueva", "con restos al lado"),
    (
        (
            Number("kills", len(crashes), ".0f"),
            Number("loaded", sum(row["loads"] for row in crashes), ".0f"),
            Number("newer", sum(row["new"] for row in crashes), ".0f"),
            Number("with rubbish", sum(row["rubbish"] for row in crashes), ".0f"),
        ),
    ),
)

# %% [markdown]
# ## Lo que esto no dice
#
# Un solo generador, muy pequeño y con pesos de cuatro bits; preguntas hechas con plantillas; un sinónimo escrito a
# mano por palabra. Con otro modelo, la lectura sería mejor y la ventaja de buscar, otra.
