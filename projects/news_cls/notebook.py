# %% [markdown]
# # Lo medido
#
# Desde aquí todo se lee de `results/`; nada se entrena ni se mide.
# %%
"""Results of news_cls, shown from results/; the last cells of results/notebook.ipynb."""

from projects.news_cls.measure.notes import drawn, measured

# %% [markdown]
# ## Los datos
# %%
measured("corpora")
# %% [markdown]
# ## Con todas las etiquetas no hay diferencia; con pocas, sí
# %%
measured("whole")
# %%
measured("few")
# %%
drawn("few", "Exactitud según las etiquetas de cada tema")
# %% [markdown]
# ## Temas raros
# %%
measured("rare")
# %% [markdown]
# ## De 2004 a 2017
# %%
measured("time")
# %%
drawn("time", "Macro-F1 en noticias de 2017 y de 2004 tras actualizar")
# %% [markdown]
# ## La puerta, y las alarmas
# %%
measured("gate")
# %%
measured("alarms")
# %%
drawn("drift", "Alarmas según la parte del lote que ha cambiado")
# %% [markdown]
# ## Con qué seguridad, y por qué
# %%
measured("sure")
# %%
drawn("reliability", "Confianza contra exactitud, y errores que quedan al callar")
# %%
measured("reasons")
# %% [markdown]
# ## Los cinco peores errores
# %%
measured("errors")
# %% [markdown]
# ## Lo que esto no dice
#
# La BBC de 2004 son cinco temas de un solo medio; las etiquetas de 2017 salen de los enlaces, y TASS no llama economía
# a lo mismo que la BBC negocios. Tres divisiones: lo que no se separa de su desviación no es una diferencia.
