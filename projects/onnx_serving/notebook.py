# %% [markdown]
# # Lo medido
#
# Desde aquí todo se lee de `results/`; nada se entrena ni se mide.
# %%
"""Results of onnx_serving, shown from results/; the last cells of results/notebook.ipynb."""

from projects.onnx_serving.study import RESULTS, views
from shared.course.cells import Picture, declared

VIEWS = views(RESULTS)
# %% [markdown]
# ## Preguntas sobre películas que el modelo no ha visto
#
# Media y desviación entre semillas. Las redacciones nuevas no aparecen en el entrenamiento.
# %%
declared(*VIEWS["results"])
# %% [markdown]
# ## ¿Se conservan las respuestas?
#
# Las mismas preguntas con cada motor, media de las semillas, y los textos de cada decodificador frente a los de la
# biblioteca.
# %%
declared(*VIEWS["answers"])
# %% [markdown]
# Antes de cuantizar el codificador, cada canal de las activaciones se divide por un número y los pesos que encuentra se
# multiplican por él (SmoothQuant). La fuerza α se eligió en películas de validación.
# %%
declared(*VIEWS["smoothing"])
# %%
declared(*VIEWS["texts"])
# %% [markdown]
# ## El codificador
#
# Medianas con los mismos hilos a ambos lados, en turnos alternos. La ganancia es sobre torch en float32.
# %%
declared(*VIEWS["speed"])
# %%
Picture(RESULTS / "encoder.es.png", "Latencia mediana del codificador según filas y tokens")
# %% [markdown]
# ## Generación: con caché y sin ella
# %%
declared(*VIEWS["generation"])
# %%
Picture(RESULTS / "generation.es.png", "Tokens generados por segundo")
# %% [markdown]
# ## El relleno
#
# Artículos reales de longitudes muy distintas, por orden de llegada y ordenados antes de agrupar.
# %%
declared(*VIEWS["padding"])
# %% [markdown]
# ## El servidor
#
# Sola, saturada, y después con el doble de la carga que sostiene: lo que no cabe recibe un 503 con `Retry-After`.
# %%
declared(*VIEWS["server"])
# %%
declared(*VIEWS["load"])
# %%
Picture(RESULTS / "load.es.png", "Peticiones aceptadas y rechazadas, y latencia máxima, segundo a segundo")
# %% [markdown]
# ## Lo que esto no dice
#
# Dos modelos pequeños, una máquina y preguntas de cuatro clases hechas por reglas: no se sigue nada sobre preguntas
# abiertas ni sobre otros procesadores. Sin VNNI o AMX, int8 gana mucho menos.
