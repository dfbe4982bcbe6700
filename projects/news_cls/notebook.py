# %% [markdown]
# # Lo medido
#
# Desde aquí todo se lee de `results/`; nada se entrena ni se mide.

# %%
"""Results of news_cls, shown from results/; the last cells of results/notebook.ipynb."""

from projects.news_cls.measure.shown import views
from projects.news_cls.study import RESULTS
from shared.course.cells import Picture, declared

shown = views(RESULTS)

# %% [markdown]
# ## Los datos

# %%
declared(*shown["corpora"])

# %% [markdown]
# ## Con todas las etiquetas no hay diferencia; con pocas, sí

# %%
declared(*shown["whole"])

# %%
declared(*shown["few"])

# %%
Picture(RESULTS / "few.es.png", "Exactitud según las etiquetas de cada tema")

# %% [markdown]
# ## Temas raros

# %%
declared(*shown["rare"])

# %% [markdown]
# ## De 2004 a 2017

# %%
declared(*shown["time"])

# %%
Picture(RESULTS / "time.es.png", "Macro-F1 en noticias de 2017 y de 2004 tras actualizar")

# %% [markdown]
# ## La puerta, y las alarmas

# %%
declared(*shown["gate"])

# %%
declared(*shown["alarms"])

# %%
Picture(RESULTS / "drift.es.png", "Alarmas según la parte del lote que ha cambiado")

# %% [markdown]
# ## Con qué seguridad, y por qué

# %%
declared(*shown["sure"])

# %%
Picture(RESULTS / "reliability.es.png", "Confianza contra exactitud, y errores que quedan al callar")

# %%
declared(*shown["reasons"])

# %% [markdown]
# ## Los cinco peores errores

# %%
declared(*shown["errors"])

# %% [markdown]
# ## Lo que esto no dice
#
# La BBC de 2004 son cinco temas de un solo medio; las etiquetas de 2017 salen de los enlaces, y TASS no llama economía
# a lo mismo que la BBC negocios. Tres divisiones: lo que no se separa de su desviación no es una diferencia.
