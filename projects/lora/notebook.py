# %% [markdown]
# # LoRA desde cero: resultados
#
# **Pregunta.** ¿Cuánta exactitud se pierde si, en vez de afinar los 22,6 millones de parámetros de un codificador, se
# entrena sólo una actualización de rango bajo junto a cada capa lineal?
#
# Todo lo que sigue se lee de `projects/lora/results/`; aquí no se entrena nada. `make results-lora` rehace esos
# ficheros, `make notebook-lora` rehace este cuaderno.
#
# *English summary: LoRA written from scratch on MiniLM, TREC question types. Every number below is read from
# `results/`; nothing is trained here. Rates and ranks were chosen on validation, the table is on the test questions,
# mean over seeds.*

# %%
"""Results of lora, shown from results/; source of results/notebook.ipynb."""

from projects.lora.config import method
from projects.lora.study import BENCH, RESULTS, views
from shared.course.cells import Number, Picture, Table, declared, rows_of
from shared.report import read_csv

shown = views(RESULTS)
summary = {row["method"]: row for row in read_csv(RESULTS / "summary.csv")}
runs = read_csv(RESULTS / "runs.csv")
full, head, chosen = (summary[name] for name in ("full fine-tuning", "frozen encoder, linear head", "LoRA, r = 16"))

# %% [markdown]
# ## Exactitud contra parámetros entrenados
#
# Cada fila es la media de varias semillas sobre las mismas preguntas de prueba, que no se usaron para elegir nada.
# «Frente al completo» es la distancia al ajuste fino completo, en puntos porcentuales.

# %%
declared(*shown["results"], "Preguntas de prueba de TREC, seis clases.")

# %%
Picture(RESULTS / "parameters_accuracy.png", "Exactitud de prueba contra parámetros entrenados, un punto por ejecución")

# %% [markdown]
# ### ¿Es la diferencia mayor que el ruido?
#
# Distancia de LoRA (r = 16) al ajuste completo en puntos, y el error típico de esa diferencia entre medias. Con tan
# pocas semillas el error es a su vez incierto: una distancia menor que dos errores no permite ordenar los métodos, y la
# de LoRA al ajuste completo lo es. La ventaja sobre la cabeza lineal, en cambio, es de otro orden.

# %%
gap = 100 * (chosen["accuracy"] - full["accuracy"])
error = 100 * (chosen["accuracy_sd"] ** 2 / chosen["seeds"] + full["accuracy_sd"] ** 2 / full["seeds"]) ** 0.5
Table(
    ("medida", "puntos"),
    (
        ("LoRA, r = 16, menos ajuste completo", Number("gap to full, points", gap, "+.2f")),
        ("error típico de la diferencia", Number("standard error of the gap, points", error, ".2f")),
        (
            "LoRA, r = 16, menos codificador congelado con cabeza lineal",
            Number("gain over the head, points", 100 * (chosen["accuracy"] - head["accuracy"]), "+.2f"),
        ),
    ),
)

# %% [markdown]
# ## Una tasa de aprendizaje mayor para B
#
# B empieza en cero y A no; LoRA+ propone que B aprenda más deprisa. Por cada rango, la misma semilla con tres razones
# entre las tasas de B y A. Entre ×1 y ×4 hay de dos a cuatro de las 550 preguntas de validación: con una semilla no
# se distinguen. ×16 queda el último con todos los rangos, de lejos con r = 4 y r = 16, por cuatro preguntas con r = 64.

# %%
rate = next(r["lr"] for r in runs if r["final"] and r["arm"] == "lora")
ratios = [
    r for r in runs if (r["arm"], r["scaling"], r["seed"], r["lr"]) == ("lora", "alpha/r", 0, rate) and r["steps"]
]
Table(
    ("rango", "tasa de B / tasa de A", "exactitud en validación", "pasos"),
    rows_of(
        sorted(ratios, key=lambda r: (r["rank"], r["lr_ratio"])),
        lambda r: r["rank"],
        lambda r: f"×{r['lr_ratio']:g}",
        lambda r: Number(f"validation of {r['cell']}", r["validation_accuracy"], ".4f"),
        lambda r: r["steps"],
    ),
)

# %%
Picture(RESULTS / "rates_convergence.png", "Pérdida de entrenamiento por paso para cada razón de tasas y cada rango")

# %% [markdown]
# ## Rango y regla de escala
#
# Con α/r, un rango mayor encoge la actualización; α/√r (rsLoRA) la mantiene. De r = 4 a r = 16 la media sube más que
# las desviaciones; de r = 16 a r = 64 ya no, y α/√r con r = 64 queda por debajo y con más dispersión entre semillas:
# con la misma tasa su paso efectivo es ocho veces mayor, y sólo se le eligió la razón entre las tasas.

# %%
Picture(RESULTS / "scaling_rules.png", "Exactitud de prueba por rango, con las escalas α/r y α/√r")

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
# generación. El número de ejecuciones que hay detrás de la tabla:

# %%
finals = [row for row in runs if row["final"]]
Table(
    ("ejecuciones", "de ellas en la tabla", "métodos"),
    (
        (
            Number("runs", len(runs), ".0f"),
            Number("final runs", len(finals), ".0f"),
            Number("methods", len({method(r["arm"], r["rank"], r["scaling"]) for r in finals}), ".0f"),
        ),
    ),
)
