# %% [markdown]
# # Lo medido
#
# Desde aquí todo se lee de `results/`; nada se entrena ni se mide.
# %%
"""Results of hf_finetune, shown from results/; the last cells of results/notebook.ipynb."""

from projects.hf_finetune.study import RESULTS, views
from shared.course.cells import Picture, Table, declared
from shared.files import read_json

shown = views(RESULTS)
data, report = (read_json(RESULTS / name) for name in ("data.json", "report.json"))
# %% [markdown]
# ## Los datos
#
# Frases de reseñas de producto con la media de 20 evaluadores. Se limpian, se quitan copias y casi copias, y se dividen
# por reseña: ninguna reseña de prueba aporta una frase al entrenamiento, que es una
# muestra de las frases de sus reseñas, la misma para todas las semillas.
# %%
splits = [(name, each["sentences"], each["groups"], *each["classes"].values()) for name, each in data["splits"].items()]
Table(("partición", "frases", "reseñas", "negativas", "neutras", "positivas"), tuple(splits))
# %%
Table(("motivo", "frases descartadas"), tuple((name, each["count"]) for name, each in data["dropped"].items()))
# %% [markdown]
# ## Cuatro maneras de entrenar, las mismas semillas
#
# La prueba pareada compara cada manera con el entrenamiento normal, semilla a semilla, cambiando los signos de las
# diferencias de todas las formas posibles. Con n pares su valor p no puede bajar de 2/2ⁿ.
# %%
declared(*shown["results"])
# %%
Picture(RESULTS / "arms.es.png", "Macro-F1 de prueba de cada semilla bajo las cuatro maneras de entrenar")
# %%
Picture(RESULTS / "learning.es.png", "Pérdida de validación tras cada época")
# %% [markdown]
# ### Contra referencias que no entrenan ninguna red
#
# Las dos primeras filas son regresión logística sobre TF-IDF de palabras y pares de palabras, y sobre los vectores del
# codificador congelado, con las mismas frases; C se eligió en validación.
# %% [markdown]
# ## Dónde se equivoca
#
# El entrenamiento normal con la semilla 0. La clase neutra es la difícil: también a los evaluadores les cuesta.
# %%
Picture(RESULTS / "confusion_matrix.es.png", "Matriz de confusión en las frases de prueba")
# %%
errors = [(row["true"], row["predicted"], f"{row['confidence']:.2f}", row["text"][:90]) for row in report["worst"][:6]]
Table(("verdadera", "predicha", "confianza", "frase"), tuple(errors), "Los errores más seguros de sí mismos.")
# %% [markdown]
# ## Quedarse sin memoria a propósito
#
# El mismo entrenamiento, interrumpido a mitad de la segunda época de cuatro maneras. Cada uno acaba, con el mismo lote
# efectivo y microlotes de la mitad; la última columna dice a cuántas desviaciones de las semillas queda.
# %%
declared(*shown["faults"])
# %% [markdown]
# ## Lo que cuesta un paso
#
# AWP hace dos pasadas hacia delante y atrás en vez de una; mixout sólo mezcla matrices.
# %%
declared(*shown["bench"])
# %% [markdown]
# ## Lo que esto no dice
#
# Un codificador pequeño, una tarea y pocas semillas. Cada ejecución que hay detrás de las tablas está en
# `results/runs.csv`, con las que sólo sirvieron para elegir tasa, γ y p.
