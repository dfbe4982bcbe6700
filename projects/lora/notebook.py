# %% [markdown]
# # Lo medido
#
# Desde aquí todo se lee de `results/`; nada se entrena.
#
# ## Exactitud contra parámetros entrenados
#
# Cada fila es la media de varias semillas sobre las mismas preguntas de prueba, que no se usaron para elegir nada.
# «Frente al completo» es la distancia al ajuste fino completo, en puntos porcentuales. Con tan pocas semillas, una
# distancia menor que dos errores típicos no permite ordenar los métodos, y la de LoRA al ajuste completo lo es.
# %%
"""Results of lora, shown from results/; the last cells of results/notebook.ipynb."""

from projects.lora.study import BENCH, RESULTS, views
from shared.course.cells import Number, Picture, declared
from shared.report import read_csv

shown, runs = views(RESULTS), read_csv(RESULTS / "runs.csv")
declared(*shown["results"], "Preguntas de prueba de TREC, seis clases.")
# %%
Picture(RESULTS / "parameters_accuracy.es.png", "Exactitud de prueba por método; un anillo por semilla")
# %% [markdown]
# ## Una tasa de aprendizaje mayor para B
#
# B empieza en cero y A no; LoRA+ propone que B aprenda más deprisa. Por cada rango, la misma semilla con tres razones
# entre las tasas de B y A. Entre ×1 y ×4 hay de dos a cuatro de las 550 preguntas de validación: con una semilla no
# se distinguen. ×16 queda el último con todos los rangos, de lejos con r = 4 y r = 16, por cuatro preguntas con r = 64.
# %%
Picture(RESULTS / "rates_convergence.es.png", "Pérdida de entrenamiento por paso para cada razón de tasas y cada rango")
# %% [markdown]
# ## Rango y regla de escala
#
# Con α/r, un rango mayor encoge la actualización; α/√r (rsLoRA) la mantiene. De r = 4 a r = 16 la media sube más que
# las desviaciones; de r = 16 a r = 64 ya no, y α/√r con r = 64 queda por debajo y con más dispersión entre semillas:
# con la misma tasa su paso efectivo es ocho veces mayor, y sólo se le eligió la razón entre las tasas.
# %%
Picture(RESULTS / "scaling_rules.es.png", "Exactitud de prueba por rango, con las escalas α/r y α/√r")
# %% [markdown]
# ## Podar y cuantizar: el orden importa
#
# Una actualización densa sumada a un peso podado no deja ceros: hay que aplicar la máscara otra vez, o podar después
# de fusionar. Este es el ensayo que **falla** a propósito: «prune, merge» pierde los ceros que se habían ganado.
# %%
declared(*shown["pruning"])
# %% [markdown]
# ## Contra la biblioteca PEFT
#
# La misma actualización, con nuestra capa y con la de la biblioteca; los pasos se alternan en una misma ejecución, así
# que sólo se comparan razones.
# %%
declared(BENCH, read_csv(RESULTS / "bench.csv"))
# %% [markdown]
# ## Lo que esto no dice
#
# Un solo codificador, una sola tarea corta y pocas semillas: no se sigue nada sobre modelos grandes ni sobre
# generación. El número de ejecuciones que hay detrás de la tabla, con las que sólo sirvieron para elegir:
# %%
Number("runs", len(runs), ".0f")
