# %% [markdown]
# # Lo medido
#
# Desde aquí todo se lee de `results/`; nada se entrena ni se mide.

# %%
"""Results of ppo_dpo_orpo, shown from results/; the last cells of results/notebook.ipynb."""

from projects.ppo_dpo_orpo.analysis.shown import views
from projects.ppo_dpo_orpo.study import RESULTS
from shared.course.cells import Picture, declared

shown = views(RESULTS)

# %% [markdown]
# ## A iguales segundos de núcleo
#
# La ganancia se empareja por comienzo y semilla con las respuestas del modelo de partida; se remuestrean ambos.

# %%
declared(*shown["seconds"])

# %% [markdown]
# ## A iguales pasos

# %%
declared(*shown["steps"])

# %% [markdown]
# ## Lo ganado por lo andado
#
# El eje es √KL: cuánto se ha alejado la política. A igual divergencia no se premia a quien sólo fue más lejos.

# %%
Picture(RESULTS / "frontier.es.png", "Recompensa verdadera ganada contra √KL")

# %% [markdown]
# ## ¿Quién ordena bien los pares reservados?
#
# Junto a los métodos, la longitud sola, una sonda lineal sobre los estados del propio modelo (el techo honesto)
# y el otro juez.

# %%
declared(*shown["accuracy"])

# %% [markdown]
# ## Si los pares se equivocan, si son menos, con otra β

# %%
declared(*shown["sensitivity"])

# %%
Picture(
    RESULTS / "sensitivity.es.png", "Pares de prueba acertados por DPO según pares equivocados, β y número de pares"
)

# %% [markdown]
# ## Los cinco peores errores
#
# Pares reservados en que DPO con LoRA prefiere por más la respuesta que el juez rechazó.

# %%
declared(*shown["errors"])

# %% [markdown]
# ## Lo que esto no dice
#
# Los dos jueces se apoyan en MiniLM. Un modelo pequeño que ya había pasado por DPO, respuestas de 20 tokens y tres
# semillas: lo que no se separa de cero no es una diferencia.
