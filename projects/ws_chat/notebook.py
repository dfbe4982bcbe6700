# %% [markdown]
# ## Lo medido
#
# Parar, con el modelo local: el contador del motor después de la orden.
# %%
"""Results of ws_chat, shown from results/; the last cells of results/notebook.ipynb."""

from projects.ws_chat.study import RESULTS, views
from shared.course.cells import Picture, declared

VIEWS = views(RESULTS)
declared(*VIEWS["stops"])
# %% [markdown]
# Líneas cortadas sin despedida, con dos réplicas detrás de nginx.
# %%
declared(*VIEWS["cuts"])
# %% [markdown]
# Lo que el servidor añade a cada token.
# %%
declared(*VIEWS["cost"])
# %% [markdown]
# El primer token: por el socket, y el del motor solo.
# %%
declared(*VIEWS["first"])
# %% [markdown]
# Conexiones inactivas.
# %%
declared(*VIEWS["idle"])
# %% [markdown]
# Diez minutos de páginas que llegan, charlan y se van: lo que la memoria crece por minuto, con su intervalo.
# %%
declared(*VIEWS["churn"])
# %% [markdown]
# Carga al doble de la capacidad, con una usuaria que pide diez veces más que cada una de las otras.
# %%
declared(*VIEWS["fairness"])
# %% [markdown]
# Treinta segundas preguntas que solo el primer mensaje responde. Intervalos por remuestreo de preguntas.
# %%
declared(*VIEWS["context"])
# %% [markdown]
# El filtro ante frases de gente sin mala intención.
# %%
declared(*VIEWS["moderation"])
# %% [markdown]
# Junto a Chainlit, con el mismo guion.
# %%
declared(*VIEWS["bench"])
# %%
Picture(RESULTS / "page.es.png", "La página, clara y oscura")
