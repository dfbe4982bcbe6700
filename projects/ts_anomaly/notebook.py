# %% [markdown]
# # Lo medido
#
# Desde aquí todo se lee de `results/`; nada se entrena ni se mide. Primero, anomalías inyectadas en partes normales de
# tres series.
# %%
"""Results of ts_anomaly, shown from results/; the last cells of results/notebook.ipynb."""

from projects.ts_anomaly.config import RESULTS
from projects.ts_anomaly.tables import views
from shared.course.cells import Picture, declared

VIEWS = views(RESULTS)
declared(*VIEWS["injected"])
# %%
Picture(RESULTS / "kinds.es.png", "AUC-PR por clase de anomalía, serie y detector")
# %% [markdown]
# Series reales con etiquetas: AUC-PR / VUS-PR. Pocos sucesos, y casi todos triviales.
# %%
declared(*VIEWS["real"])
# %% [markdown]
# Lo que consigue una puntuación al azar en ellas, según cómo se mida.
# %%
declared(*VIEWS["trick"])
# %% [markdown]
# Falsas alarmas pedidas y logradas, y cuánto tarda en verse un fallo.
# %%
declared(*VIEWS["alarms"])
# %% [markdown]
# Puntos de cambio contra cinco personas.
# %%
declared(*VIEWS["changes"])
# %% [markdown]
# ¿Nombra la explicación los pasos de los que vino la puntuación?
# %%
declared(*VIEWS["explained"])
# %% [markdown]
# Velocidad y memoria.
# %%
declared(*VIEWS["scale"])
# %%
Picture(RESULTS / "memory.es.png", "Memoria de la atención según la longitud")
# %% [markdown]
# Junto a otras bibliotecas.
# %%
declared(*VIEWS["bench"])
