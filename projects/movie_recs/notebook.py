# %% [markdown]
# # Lo medido
#
# Desde aquí todo se lee de `results/`; nada se entrena ni se mide.

# %%
"""Results of movie_recs, shown from results/; the last cells of results/notebook.ipynb."""

from projects.movie_recs.analysis.shown import views
from projects.movie_recs.study import RESULTS
from shared.course.cells import Picture, declared

shown = views(RESULTS)

# %% [markdown]
# ## Películas con valoraciones
#
# Todo el catálogo se ordena; las elecciones se hicieron en validación, y la prueba es posterior en el tiempo.

# %%
declared(*shown["warm"])

# %% [markdown]
# ## Valoraciones y texto

# %%
declared(*shown["blends"])

# %% [markdown]
# ## Películas que nadie ha valorado
#
# Aquí el texto es lo único que hay, y la cabeza entrenada sobre las demás casi alcanza al oráculo de popularidad.

# %%
declared(*shown["cold"])

# %%
Picture(RESULTS / "cold.es.png", "nDCG@10 de cada manera de puntuar películas sin valoraciones")

# %% [markdown]
# ## Sesenta descripciones, y las cinco peores

# %%
declared(*shown["search"])

# %%
declared(*shown["errors"])

# %% [markdown]
# ## Lo que no gustó, listas variadas, preguntas

# %%
declared(*shown["dislikes"])

# %%
Picture(RESULTS / "lists.es.png", "nDCG@10 según la diversidad de la lista, para varios λ")

# %%
Picture(RESULTS / "newcomers.es.png", "nDCG@10 según el número de preguntas")

# %% [markdown]
# ## Otra política, juzgada por un registro

# %%
declared(*shown["policies"])

# %% [markdown]
# ## Lo que pesa cada parte de una lista, y velocidad
#
# Los pesos se aprenden en validación y el servidor los lee de esta tabla. Después, cien mil películas inventadas, y
# la búsqueda exacta junto a un grafo: el grafo compensa desde 20 000 películas.

# %%
declared(*shown["parts"])

# %%
declared(*shown["scale"])

# %%
declared(*shown["index"])

# %% [markdown]
# ## Lo que esto no dice
#
# Que a alguien le guste una lista se ve preguntándole: aquí sólo se adivina lo que ya había valorado, y lo que nadie le
# mostró no cuenta ni a favor ni en contra.
