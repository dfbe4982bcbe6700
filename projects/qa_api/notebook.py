# %% [markdown]
# # Lo medido
#
# Desde aquí todo se lee de `results/`; nada se entrena ni se mide.

# %%
"""Results of qa_api, shown from results/; the last cells of results/notebook.ipynb."""

from projects.qa_api.measure.shown import views
from projects.qa_api.study import RESULTS
from shared.course.cells import Picture, Table, declared

shown = views(RESULTS)


def measured(name: str) -> Table | str:
    """A table, in Spanish, or that it was not measured yet."""
    return declared(*shown[name]) if name in shown else f"{name}: aún no medido"


# %% [markdown]
# ## Qué búsqueda halla el documento
#
# Las descripciones no comparten ninguna palabra con el título; las preguntas lo nombran. Todas son de títulos de la
# parte de prueba, y la fusión se aprendió en las otras. La última columna la compara, consulta a consulta, con la mejor
# de las dos búsquedas de que se compone.

# %%
measured("search")

# %%
Picture(RESULTS / "search.es.png", "Recall@1 y recall@10 de cada búsqueda, con sus intervalos")

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
Picture(RESULTS / "sure.es.png", "Parte de las respuestas que está mal, según cuántas preguntas se contestan")

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
# Lo que tarda y cuánto aguanta; y qué queda tras morir a media escritura.

# %%
measured("speed")

# %%
measured("faults")

# %% [markdown]
# ## Lo que esto no dice
#
# Los documentos son introducciones de Wikipedia, y las preguntas las escribió quien conocía los documentos: las de un
# archivo de empresa son otras. Con tan pocas preguntas, lo que los intervalos no separan no es una diferencia.
