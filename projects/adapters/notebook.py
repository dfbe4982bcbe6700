# %% [markdown]
# # Lo medido
#
# Desde aquí todo se lee de `results/`; nada se entrena ni se mide.
# %%
"""Results of adapters, shown from results/; the last cells of results/notebook.ipynb."""

from projects.adapters.study import RESULTS, views
from shared.course.cells import Picture, declared

shown = views(RESULTS)
# %% [markdown]
# ## Exactitud contra parámetros entrenados
#
# Cada fila es la media de varias semillas sobre textos de prueba que no se usaron para elegir nada, con su
# distancia al ajuste completo en puntos porcentuales. Con tan pocas semillas, una distancia menor que la dispersión
# entre ellas no permite ordenar los métodos.
# %%
declared(*shown["texts"], "Exactitud en preguntas de TREC y en frases de reseñas de cine.")
# %%
Picture(RESULTS / "parameters_accuracy.es.png", "Puntos frente al ajuste completo, una marca por semilla")
# %% [markdown]
# ## Entidades sintéticas
#
# F1 estricto por entidad (tipo y extremos exactos). Ni los patrones de las frases ni los nombres de la prueba están en
# el entrenamiento. En el nivel 3 un mismo nombre puede ser de cualquiera de los cuatro tipos.
# %%
declared(*shown["ner"])
# %% [markdown]
# ## Convergencia
#
# Pérdida de entrenamiento y puntuación de validación según avanzan los pasos; las bandas van de la peor a la mejor
# semilla.
# %%
Picture(RESULTS / "convergence_loss.es.png", "Pérdida de entrenamiento por paso")
# %%
Picture(RESULTS / "convergence_score.es.png", "Puntuación en validación por paso")
# %% [markdown]
# Pasos hasta el 95 % de la puntuación de validación del ajuste completo, y los segundos que son: pasos por el tiempo de
# un paso en el banco de pruebas.
# %%
declared(*shown["times"])
# %% [markdown]
# ## He contra Xavier, y lo que falla
#
# Con la proyección de subida en cero, la red empieza siendo la base, bit a bit, sea cual sea la distribución de la de
# bajada. Si se sortean las dos, la red empieza lejos de la base. Con tasas demasiado altas el entrenamiento
# **diverge**: tras 50 pasos la pérdida es mayor que la de adivinar.
# %%
declared(*shown["init"])
# %%
Picture(RESULTS / "init.es.png", "Desviación inicial y pérdida tras 50 pasos, una marca por semilla")
# %% [markdown]
# ## El tiempo de un paso
#
# Los pasos de todos los brazos se alternan en una misma ejecución, así que se comparan razones: ganchos contra los
# mismos adaptadores escritos dentro de los bloques, contra PEFT, contra la biblioteca `adapters` y contra el ajuste
# completo.
# %%
declared(*shown["bench"])
# %% [markdown]
# ## Lo que esto no dice
#
# Un solo codificador pequeño, textos cortos, pocos pasos y pocas semillas. Las entidades son sintéticas. Cada ejecución
# que hay detrás de las tablas está en `results/runs.csv`, con las que sólo sirvieron para elegir una tasa.
