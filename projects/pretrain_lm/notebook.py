# %% [markdown]
# # Un modelo de lenguaje pequeño, de los artículos a los párrafos: resultados
#
# **Pregunta.** ¿Hasta dónde llega un modelo de lenguaje hecho entero aquí, de los textos sin limpiar a los párrafos,
# en una máquina pequeña? Lo que predice se compara con un 5-grama de los mismos tokens; lo que escribe, con los
# artículos.
#
# Todo lo que sigue se lee de `projects/pretrain_lm/results/`; aquí no se entrena nada. `make results-pretrain_lm`
# rehace esos ficheros, `make notebook-pretrain_lm` rehace este cuaderno.
#
# *English summary: a small causal Transformer pretrained on cleaned news, beside Kneser–Ney n-grams on the same
# tokens and beside transformers' GPT-2 of the same size; samples measured for variety and coherence. Every number
# below is read from `results/`; nothing is trained here. No rate was tuned on the test articles; the news model's
# size was raised once after a first test figure had been seen.*

# %%
"""Results of pretrain_lm, shown from results/; source of results/notebook.ipynb."""

from pathlib import Path

from shared.presentation.cells import Number, Picture, Table, rows_of
from shared.report import read_csv
from shared.runs import read_json

RESULTS = Path("projects/pretrain_lm/results")
news = {row["model"]: row for row in read_csv(RESULTS / "news.csv")}
frontier = read_csv(RESULTS / "frontier.csv")
corpus = read_json(RESULTS / "corpus.json")
ARMS = {"ours": "el nuestro", "gpt2": "GPT2LMHeadModel de transformers"}
REASONS = {
    "many symbols": "muchos símbolos",
    "near copy": "casi una copia",
    "repeated runs of words": "tramos repetidos",
    "too short": "demasiado corto",
}

# %% [markdown]
# ## El corpus
#
# Qué quitó cada filtro, y qué queda en cada parte. La división es por historia (los artículos que la cuentan van
# juntos), después de quitar copias y antes de cortar.

# %%
Table(
    ("motivo", "documentos"),
    tuple((REASONS.get(reason, reason), count) for reason, count in corpus["dropped"].items()),
    f"De {corpus['read']:,} artículos quedan {corpus['kept']:,}.",
)

# %%
Table(
    ("parte", "documentos", "bytes", "fragmentos", "tokens"),
    tuple(
        (said, *(f"{corpus['splits'][part][what]:,}" for what in ("documents", "bytes", "chunks", "tokens")))
        for part, said in {"train": "entrenamiento", "validation": "validación", "test": "prueba"}.items()
    ),
)

# %% [markdown]
# ## Contra un 5-grama de los mismos tokens
#
# Perplejidad por token y bits por byte en los artículos de prueba. La mezcla de los dos modelos, con el peso elegido
# en validación, dice si saben cosas distintas.

# %%
Table(
    ("modelo", "PPL de prueba", "bits por byte", "PPL de validación"),
    rows_of(
        news.values(),
        lambda row: row["model"],
        lambda row: Number(f"test perplexity of {row['model']}", row["test_perplexity"], ".2f"),
        lambda row: Number(f"test bits per byte of {row['model']}", row["test_bits_per_byte"], ".4f"),
        lambda row: Number(f"validation perplexity of {row['model']}", row["validation_perplexity"], ".2f"),
    ),
)

# %%
Picture(RESULTS / "epochs.png", "Perplejidad de validación del Transformer al final de cada época, y la del 5-grama")

# %% [markdown]
# ### ¿Es la diferencia mayor que el ruido?
#
# Los dos modelos predicen los mismos tokens de prueba. La razón entre sus perplejidades, y lo que gana la mezcla
# sobre el mejor de los dos. Del Transformer hay una sola semilla, así que la dispersión entre semillas no se ve aquí.

# %%
gram = news["Kneser–Ney 5-gram"]["test_perplexity"]
ours = news["Transformer"]["test_perplexity"]
mixed = next(row["test_perplexity"] for name, row in news.items() if name.startswith("both mixed"))
Table(
    ("medida", "valor"),
    (
        ("PPL del Transformer / PPL del 5-grama", Number("Transformer over 5-gram", ours / gram, ".3f")),
        ("PPL de la mezcla / la del mejor de los dos", Number("mixture over better", mixed / min(ours, gram), ".3f")),
    ),
)

# %% [markdown]
# ## Coherencia contra diversidad
#
# Muestrear con más libertad da textos más variados y menos previsibles. Los artículos mismos están en la tabla como
# referencia: no los más previsibles, pero sí variados y cercanos a su comienzo.

# %%
Table(
    ("escrito por", "distinct-1", "distinct-2", "self-BLEU", "4-gramas repetidos", "similitud", "PPL (SmolLM2)"),
    rows_of(
        frontier,
        lambda row: row["way"],
        lambda row: Number(f"distinct-1 of {row['way']}", row["distinct_1"], ".3f"),
        lambda row: Number(f"distinct-2 of {row['way']}", row["distinct_2"], ".3f"),
        lambda row: Number(f"self-BLEU of {row['way']}", row["self_bleu"], ".3f"),
        lambda row: Number(f"repetition of {row['way']}", row["repetition_4"], ".3f"),
        lambda row: Number(f"similarity of {row['way']}", row["similarity"], ".3f"),
        lambda row: Number(f"SmolLM2 perplexity of {row['way']}", row["perplexity"], ".1f"),
    ),
)

# %%
Picture(RESULTS / "frontier.png", "distinct-2 contra la perplejidad de SmolLM2, por forma de muestrear")

# %%
Picture(RESULTS / "similarity.png", "distinct-2 contra la similitud entre comienzo y continuación (MiniLM)")

# %% [markdown]
# El ensayo que **falla** a la vista: el modo voraz. Repite sus 4-gramas y es a la vez lo menos variado y lo más
# previsible: una perplejidad baja bajo otro modelo no es buena prosa.

# %%
greedy = next(row for row in frontier if row["way"] == "greedy")
real = frontier[0]
Table(
    ("texto", "4-gramas repetidos", "distinct-2"),
    (
        ("modo voraz", f"{greedy['repetition_4']:.3f}", f"{greedy['distinct_2']:.3f}"),
        ("los artículos", f"{real['repetition_4']:.3f}", f"{real['distinct_2']:.3f}"),
    ),
)

# %% [markdown]
# ## Máscaras estáticas y dinámicas
#
# Modelos enmascarados de caracteres sobre 60 artículos, ocho épocas, tres semillas. A todos se les preguntan las
# mismas máscaras del 15 % en los artículos de prueba.

# %%
Table(
    ("máscaras", "proporción", "pérdida de prueba", "± entre semillas"),
    rows_of(
        read_csv(RESULTS / "masking.csv"),
        lambda row: {"static": "estáticas", "dynamic": "dinámicas"}[row["objective"]],
        lambda row: f"{row['mask_ratio']:.0%}",
        lambda row: Number(f"loss of {row['objective']} {row['mask_ratio']:g}", row["test_loss"], ".3f"),
        lambda row: Number(f"spread of {row['objective']} {row['mask_ratio']:g}", row["test_loss_sd"], ".3f"),
    ),
)

# %%
Picture(RESULTS / "masking.png", "Pérdida de prueba contra la proporción enmascarada, por tipo de máscara")

# %% [markdown]
# ## Contra transformers, y el cargador
#
# La receta de nanoGPT para CPU. El modelo GPT2LMHeadModel del mismo tamaño ve las mismas ventanas con el mismo
# optimizador: pérdida de validación sobre tres semillas, y velocidad por turnos en una misma ejecución.

# %%
Table(
    ("modelo", "pérdida de validación", "± entre semillas"),
    rows_of(
        read_csv(RESULTS / "peer.csv"),
        lambda row: ARMS[row["arm"]],
        lambda row: Number(f"validation loss of {row['arm']}", row["validation_loss"], ".4f"),
        lambda row: Number(f"spread of {row['arm']}", row["validation_loss_sd"], ".4f"),
    ),
)

# %%
Table(
    ("modelo", "tokens por segundo", "el nuestro es … veces más rápido", "cuartiles"),
    rows_of(
        read_csv(RESULTS / "bench.csv"),
        lambda row: ARMS[row["arm"]],
        lambda row: Number(f"tokens per second of {row['arm']}", row["tokens_per_second"], ",.0f"),
        lambda row: Number(f"speed over {row['arm']}", row["ours_over_arm"], ".3f"),
        lambda row: f"{row['ratio_q1']:.3f} a {row['ratio_q3']:.3f}",
    ),
)

# %%
Table(
    ("corpus", "tokens", "memoria máxima", "sobre 1 ×"),
    rows_of(
        read_csv(RESULTS / "loader.csv"),
        lambda row: f"{row['copies']} ×",
        lambda row: f"{row['tokens']:,}",
        lambda row: f"{row['peak_mb']:.0f} MB",
        lambda row: Number(f"memory at {row['copies']} times", row["over_one"], ".3f"),
    ),
)

# %%
Picture(RESULTS / "memory.png", "Memoria máxima del cargador contra el tamaño del corpus")

# %% [markdown]
# ## Lo que esto no dice
#
# Un modelo diminuto con pocos minutos de cálculo sobre tres millones de tokens: de estas perplejidades no se sigue
# nada sobre modelos grandes. La coherencia la juzgan otros dos modelos, no lectores.

# %%
Table(
    ("artículos de prueba", "tokens de entrenamiento"),
    (
        (
            Number("test articles", corpus["splits"]["test"]["documents"], ".0f"),
            Number("training tokens", corpus["splits"]["train"]["tokens"], ",.0f"),
        ),
    ),
)
