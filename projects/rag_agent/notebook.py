# %% [markdown]
# # Lo medido
#
# Desde aquí todo se lee de `results/`; nada se entrena ni se mide.
# %%
"""Results of rag_agent, shown from results/; the last cells of results/notebook.ipynb."""

from projects.rag_agent.study import RESULTS, views
from shared.course.cells import Number, Picture, Table, declared
from shared.report import read_csv

shown = views(RESULTS)
# %% [markdown]
# ## Buscar: palabras, vectores o ambos
#
# Tres juegos de preguntas sobre la misma película, sin ninguna palabra de su título y con cada vez menos palabras
# del artículo. Los intervalos son de 95 % y se obtienen volviendo a sortear películas.
# %%
declared(*shown["retrieval"], "Películas de prueba; los pesos de las fusiones se eligieron en otras.")
# %%
Picture(RESULTS / "retrieval.es.png", "Rango recíproco medio por método, un panel por juego de preguntas")
# %% [markdown]
# ### ¿Es la fusión al menos tan buena como el mejor de los dos?
#
# Diferencia de MRR, película a película, entre la fusión de puntuaciones y cada método. Un intervalo que contiene
# el cero no permite ordenar. La meta era no perder con ninguno: donde la diferencia es negativa, no se alcanza.
# %%
declared(*shown["differences"])
# %% [markdown]
# ## Contestar: con y sin pasajes
#
# «En sus pasajes» es la cota superior de quien copia: la respuesta correcta está en lo que se le dio al modelo.
# «Fiel»: lo que el modelo dice de más sobre la pregunta está en un pasaje que cita.
# %%
declared(*shown["answers"])
# %%
declared(*shown["kinds"])
# %%
Picture(RESULTS / "answers.es.png", "Acierto exacto por tipo de pregunta, con la cota que fijan los pasajes")
# %% [markdown]
# ## Callar
#
# El umbral se eligió en otras películas. Las preguntas sobre películas que no están en el índice son las difíciles:
# usan las mismas palabras que las demás.
# %%
declared(*shown["refusal"])
# %%
Picture(RESULTS / "refusal.es.png", "Proporción rechazada según el umbral, por tipo de pregunta")
# %% [markdown]
# ## ¿Quién elige la herramienta?
# %%
declared(*shown["routing"])
# %% [markdown]
# ## El índice cuando crece
#
# Frases reales hasta 100 000, con búsqueda exacta, con el grafo HNSW y con Milvus. Los tiempos valen para la
# máquina de `bench.json`.
# %%
declared(*shown["bench"])
# %%
Picture(RESULTS / "growth.es.png", "Tiempo de búsqueda, construcción y memoria según el número de vectores")
# %%
declared(*shown["recall"])
# %% [markdown]
# ## Un ensayo que falla a propósito
#
# Se mata el proceso (kill -9) en un momento cualquiera mientras guarda el índice, cincuenta veces. Tiene que
# cargarse siempre, como la versión vieja o como la nueva.
# %%
crashes = read_csv(RESULTS / "crash.csv")
heads = {"loads": "se cargó", "new": "como versión nueva", "rubbish": "con restos al lado"}
sums = tuple(Number(head, sum(row[name] for row in crashes), ".0f") for name, head in heads.items())
Table(("muertes", *heads.values()), ((Number("muertes", len(crashes), ".0f"), *sums),))
# %% [markdown]
# ## Lo que esto no dice
#
# Un solo generador, muy pequeño y con pesos de cuatro bits; preguntas hechas con plantillas; un sinónimo escrito a
# mano por palabra. Con otro modelo, la lectura sería mejor y la ventaja de buscar, otra.
