# %% [markdown]
# # Anomalías en series de tiempo: la idea, y lo medido
#
# **Pregunta.** ¿Encuentra un Transformer anomalías que nunca vio, punto a punto y sin etiquetas, mejor que una línea
# de código?
#
# Las primeras celdas hacen la idea a mano, en segundos: cambie los números en mayúsculas y vuelva a ejecutar. Lo
# demás se lee de `projects/ts_anomaly/results/`; `make results-ts_anomaly` y `make bench-ts_anomaly` rehacen esos
# ficheros.
#
# *English summary: why point adjustment makes noise look good, a streaming patch Transformer trained here against
# injected anomalies, a threshold from extreme values; then every measured table.*

# %% [markdown]
# ## El truco: una puntuación al azar con «ajuste de puntos»
#
# El ajuste cuenta un suceso como hallado entero si la alarma lo toca una vez. Cuanto más largos los sucesos, mejor
# parece el azar.

# %%
"""The idea of ts_anomaly by hand: the first cells of results/notebook.ipynb."""

import numpy as np

from projects.ts_anomaly.config import Config
from projects.ts_anomaly.data.inject import inject, kinds
from projects.ts_anomaly.data.series import Series, load_series
from projects.ts_anomaly.evaluate import auc_pr, best_f1, point_adjusted_f1
from projects.ts_anomaly.scoring.thresholds import Spot, conformal_threshold, mad_threshold, quantile_threshold
from projects.ts_anomaly.train import fit
from shared.course.cells import Drawing, Table, curves, live

LENGTHS, SHARE = (1, 10, 100, 500), 0.05


def trick(lengths: tuple[int, ...], share: float) -> Table:
    """F1 of noise, without and with point adjustment."""
    rows, n = [], 20_000
    scores = np.random.default_rng(0).random(n)
    for length in lengths:
        labels = np.zeros(n, dtype=int)
        for start in range(0, n - length + 1, round(length / share)):
            labels[start : start + length] = 1
        told = (best_f1(labels, scores), point_adjusted_f1(labels, scores), auc_pr(labels, scores))
        rows.append((length, *(f"{value:.2f}" for value in told)))
    return Table(("puntos por suceso", "F1", "F1 con ajuste", "AUC-PR"), tuple(rows))


live(trick, LENGTHS, SHARE)

# %% [markdown]
# ## Entrenar contra anomalías inyectadas
#
# Un Transformer causal de parches predice cuantiles y aprende a reconocer picos, niveles, tramos pegados y tramos del
# revés, puestos en un electrocardiograma. Después se le pone una anomalía de otra clase. ¿Con cuántos pasos basta?

# %%
STEPS, KIND, SEED = 60, "burst", 3


def watched(steps: int, kind: str, seed: int) -> Drawing:
    """Surprise of a trained detector on a stretch with one anomaly of a kind that it never saw."""
    whole = load_series("mitdb")
    series = Series("mitdb", whole.values, whole.labels, whole.fit, whole.validation, whole.period)
    detector, _ = fit(Config(steps=steps, width=32, batch=4, lr=3e-3), series)
    values = series.values[4600:5400].copy()
    put = inject(values[400:, 0], kind, "test", series.prefix[:, 0], np.random.default_rng(seed), margin=60)
    values[400:, 0] = put.values
    shown = detector.score(values)[400:]
    area = auc_pr(put.labels, shown)
    lines = {"ECG": (4 * (put.values - put.values.min())).tolist(), "sorpresa": shown.tolist()}
    lines["anomalía"] = (put.labels * 2.0 - 3).tolist()
    return curves(lines, title=f"{kind}: AUC-PR {area:.2f}", xlabel="puntos", ylabel="sorpresa")


live(watched, STEPS, KIND, SEED)

# %% [markdown]
# ## Un umbral sin etiquetas
#
# Se pide una falsa alarma cada PERIOD puntos y se cuentan las que hay en un millón de puntos nuevos, con la misma
# distribución. Cambie cuántos puntos hay para calibrar, y lo pesadas que son las colas (grados de libertad de una t
# de Student).

# %%
PERIOD, CALIBRATION, FREEDOM = 10_000, 3_000, 4.0


def thresholds(period: int, calibration: int, freedom: float) -> Table:
    """Alarms that were asked for and that come."""
    random = np.random.default_rng(0)
    known, new = np.abs(random.standard_t(freedom, calibration)), np.abs(random.standard_t(freedom, 1_000_000))
    chance = 1 / period
    levels = {
        "4 desviaciones": mad_threshold(known),
        "cuantil": quantile_threshold(known, chance),
        "conforme": conformal_threshold(known, chance),
        "valores extremos": Spot.fit(known, chance).level,
    }
    came = {name: int((new > level).sum()) for name, level in levels.items()}
    rows = [(name, f"{level:.2f}", round(len(new) / period), came[name]) for name, level in levels.items()]
    return Table(("umbral", "nivel", "pedidas", "hubo"), tuple(rows))


live(thresholds, PERIOD, CALIBRATION, FREEDOM)
assert set(kinds("test")) >= {KIND}
