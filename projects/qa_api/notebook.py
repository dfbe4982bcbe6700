# %% [markdown]
# # Lo medido
#
# Desde aquí todo se lee de `results/`; nada se entrena ni se mide.

# %%
"""Results of qa_api, shown from results/; the last cells of results/notebook.ipynb."""

from typing import Any

from projects.qa_api.measure.shown import views
from projects.qa_api.study import RESULTS
from shared.course.cells import Picture, Table, declared, live

shown = views(RESULTS)
rest: dict[str, Any] = dict(shown)  # what no cell below asks for by its name: the service's


def measured(name: str) -> Table | str:
    """A table, in Spanish, or that it was not measured yet."""
    return declared(*rest.pop(name)) if name in rest else f"{name}: aún no medido"


def drawn(name: str, text: str) -> Picture | str:
    """A figure, or that it was not drawn yet."""
    path = RESULTS / f"{name}.es.png"
    return Picture(path, text) if path.is_file() else f"{name}: aún no dibujado"


# %% [markdown]
# ## Qué búsqueda halla el documento
#
# Las descripciones no comparten ninguna palabra con el título; las preguntas lo nombran. Todas son de títulos de la
# parte de prueba, y la fusión se aprendió en las otras. La última columna la compara, consulta a consulta, con la mejor
# de las dos búsquedas de que se compone.

# %%
measured("search")

# %%
drawn("search", "Recall@1 y recall@10 de cada búsqueda, con sus intervalos")

# %% [markdown]
# ## Los lectores, en preguntas hechas a máquina
#
# Es lo que se ve mientras se aprende: preguntas hechas con los documentos de validación. Dice si el entrenamiento va
# bien, y no cuánto vale ante lo que pregunta una persona.

# %%
measured("readers")

# %% [markdown]
# ## Preguntas escritas a mano, de principio a fin
#
# Se escribieron antes de entrenar nada. «Documento dado» es lo que acierta el lector si no hay que buscar: la
# diferencia con F1 es lo que cuesta la búsqueda y el callar.

# %%
measured("answers")

# %% [markdown]
# ## Lo que vale una probabilidad
#
# Cuántas preguntas se contestan con la seguridad que en validación dejaba mal a lo más una de cada veinte, cuántas de
# ellas están mal de verdad, y cuánto se aparta lo que se declara de lo que se acierta.

# %%
measured("sure")

# %%
drawn("sure", "Parte de las respuestas que está mal, según cuántas preguntas se contestan")

# %% [markdown]
# ## Preguntar antes que adivinar

# %%
measured("clarify")

# %% [markdown]
# ## Los cinco errores más seguros

# %%
measured("errors")

# %% [markdown]
# ## El servicio
#
# Lo que tarda, cuánto aguanta y qué queda cuando muere a media escritura: las tablas que haya, con su título.

# %%
CAPTIONS = {
    "load": "Preguntas de muchos clientes", "words": "BM25 solo", "rebuild": "Buscar mientras se rehace el índice",
    "fresh": "Lo que tarda en verse un cambio", "kills": "Muerto mientras escribe", "speed": "Lo que tarda",
    "cases": "Peticiones hechas por schemathesis", "agreement": "El lector exportado, junto a torch",
    "bench": "El mismo lector detrás de otras búsquedas", "faults": "Qué queda tras un fallo",
}  # fmt: skip

for name, (table, rows) in rest.items():
    live(declared, table, rows, CAPTIONS.get(name, name))

# %% [markdown]
# ## Lo que esto no dice
#
# Los documentos son introducciones de Wikipedia, y las preguntas las escribió quien conocía los documentos: las de un
# archivo de empresa son otras. Con tan pocas preguntas, lo que los intervalos no separan no es una diferencia.
