# %% [markdown]
# # Lo medido
#
# Desde aquí todo se lee de `results/`; nada se entrena ni se mide.
# %%
"""Results of pretrain_lm, shown from results/; the last cells of results/notebook.ipynb."""

from projects.pretrain_lm.study import RESULTS, views
from shared.course.cells import Number, Picture, Table, declared
from shared.files import read_json

VIEWS = views(RESULTS)
by_model = {row["model"].partition(",")[0]: row for row in VIEWS["news"][1]}
corpus = read_json(RESULTS / "corpus.json")
COUNTED = ("documents", "bytes", "chunks", "tokens")
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
dropped = {REASONS.get(reason, reason): count for reason, count in corpus["dropped"].items()}
Table(("motivo", "documentos"), tuple(dropped.items()), f"De {corpus['read']:,} artículos quedan {corpus['kept']:,}.")
# %%
parts = [
    (said, *(Number(f"{what}, {part}", corpus["splits"][part][what], ",.0f") for what in COUNTED))
    for part, said in {"train": "entrenamiento", "validation": "validación", "test": "prueba"}.items()
]
Table(("parte", "documentos", "bytes", "fragmentos", "tokens"), tuple(parts))
# %% [markdown]
# ## Contra un 5-grama de los mismos tokens
#
# Perplejidad por token y bits por byte en los artículos de prueba. La mezcla de los dos modelos, con el peso elegido
# en validación, dice si saben cosas distintas.
# %%
declared(*VIEWS["news"])
# %%
Picture(RESULTS / "epochs.es.png", "Perplejidad de validación del Transformer al final de cada época, y la del 5-grama")
# %% [markdown]
# ### ¿Es la diferencia mayor que el ruido?
#
# Los dos modelos predicen los mismos tokens de prueba. La razón entre sus perplejidades, y lo que gana la mezcla
# sobre el mejor de los dos. Del Transformer hay una sola semilla, así que la dispersión entre semillas no se ve aquí.
# %%
gram, ours, mixed = (by_model[name]["test_perplexity"] for name in ("Kneser–Ney 5-gram", "Transformer", "both mixed"))
measured = {
    "PPL del Transformer / PPL del 5-grama": Number("Transformer over 5-gram", ours / gram, ".3f"),
    "PPL de la mezcla / la del mejor de los dos": Number("mixture over better", mixed / min(ours, gram), ".3f"),
}
Table(("medida", "valor"), tuple(measured.items()))
# %% [markdown]
# ## Coherencia contra diversidad
#
# Muestrear con más libertad da textos más variados y menos previsibles. Los artículos mismos están en la tabla como
# referencia: no los más previsibles, pero sí variados y cercanos a su comienzo.
# %%
declared(*VIEWS["frontier"])
# %%
Picture(RESULTS / "frontier.es.png", "Bigramas distintos contra la perplejidad de SmolLM2, por forma de muestrear")
# %%
Picture(RESULTS / "similarity.es.png", "Bigramas distintos contra la similitud entre comienzo y continuación (MiniLM)")
# %% [markdown]
# El ensayo que **falla** a la vista: el modo voraz, en la segunda fila de la tabla. Repite sus 4-gramas y es a la vez
# lo menos variado y lo más previsible: una perplejidad baja bajo otro modelo no es buena prosa.
# %% [markdown]
# ## Máscaras estáticas y dinámicas
#
# Modelos enmascarados de caracteres sobre 60 artículos, ocho épocas, tres semillas. A todos se les preguntan las
# mismas máscaras del 15 % en los artículos de prueba.
# %%
declared(*VIEWS["masking"])
# %%
Picture(RESULTS / "masking.es.png", "Pérdida de prueba contra la proporción enmascarada, por tipo de máscara")
# %% [markdown]
# ## Contra transformers, y el cargador
#
# La receta de nanoGPT para CPU. El modelo GPT2LMHeadModel del mismo tamaño ve las mismas ventanas con el mismo
# optimizador: pérdida de validación sobre tres semillas, y velocidad por turnos en una misma ejecución.
# %%
declared(*VIEWS["peer"])
# %%
declared(*VIEWS["bench"])
# %%
declared(*VIEWS["loader"])
# %%
Picture(RESULTS / "memory.es.png", "Memoria máxima del cargador contra el tamaño del corpus")
# %% [markdown]
# ## Lo que esto no dice
#
# Un modelo diminuto con pocos minutos de cálculo sobre tres millones de tokens: de estas perplejidades no se sigue
# nada sobre modelos grandes. La coherencia la juzgan otros dos modelos, no lectores.
