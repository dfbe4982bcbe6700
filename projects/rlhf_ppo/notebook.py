# %% [markdown]
# # Lo medido
#
# Desde aquí todo se lee de `results/`; nada se entrena ni se mide.
# %%
"""Results of rlhf_ppo, shown from results/; the last cells of results/notebook.ipynb."""

from projects.rlhf_ppo.study import BENCH, RESULTS, views
from shared.course.cells import Number, Picture, declared
from shared.report import read_csv

shown = views(RESULTS)
runs = read_csv(RESULTS / "runs.csv")
# %% [markdown]
# ## ¿Quién acierta las comparaciones?
#
# Antes de usar un modelo de recompensa hay que saber si aprendió calidad o un atajo. Una regresión que sólo ve la
# longitud, o la primera palabra, no debería acertar más que el azar tras el equilibrado; si acierta, el modelo de
# recompensa también pudo aprender eso. El juez, sin su ruido, pone el techo.
# %%
declared(*shown["deciders"])
# %% [markdown]
# ## Antes y después de PPO
#
# Comienzos que no se usaron para entrenar nada. La ganancia se empareja por comienzo; su intervalo es un *bootstrap*
# sobre los comienzos. «Recompensa aprendida» es lo que PPO maximiza; «verdadera», lo que opina el juez, que PPO no
# ve.
# %%
declared(*shown["summary"])
# %%
Picture(RESULTS / "curves.es.png", "Recompensas, KL, entropía, recorte y pérdida de valor, ronda a ronda")
# %% [markdown]
# ## Sobreoptimización
#
# Lo que gana la recompensa aprendida y no gana la verdadera se ganó engañando al modelo de recompensa. El eje es √KL:
# cuánto se ha alejado la política del modelo de partida.
# %%
Picture(RESULTS / "proxy_gold.es.png", "Recompensa aprendida y verdadera contra √KL, un panel por penalización")
# %% [markdown]
# ## ¿En qué se va el tiempo?
# %%
declared(BENCH, read_csv(RESULTS / "bench.csv"))
# %% [markdown]
# ## Lo que esto no dice
#
# El juez es también un modelo: cuando la política abandona el lenguaje de las reseñas, su opinión es una
# extrapolación. Un modelo pequeño, respuestas de 24 *tokens* y pocas semillas.
# %%
Number("held-out prompts", runs[0]["prompts"], ".0f", f"comienzos reservados en cada una de {len(runs)} ejecuciones")
