# %% [markdown]
# # Inferencia y ONNX: la idea, y lo medido
#
# **Pregunta.** ¿Qué aportan ONNX Runtime, int8, una caché y los lotes a dos modelos pequeños, y se conservan las
# respuestas?
#
# Primero se hacen a mano, en segundos y sólo con numpy: cambie los números en mayúsculas y vuelva a ejecutar la celda.
# Después viene lo medido, que se lee de `projects/onnx_serving/results/`: `make results-onnx_serving` y `make
# bench-onnx_serving` rehacen esos ficheros, `make notebook-onnx_serving` este cuaderno.
#
# *English summary: int8, the cache and padding by hand in numpy; then MiniLM answering questions about films and
# SmolLM2 writing, torch against ONNX Runtime, float32 and int8, and a server with dynamic batching under overload.*

# %%
"""int8, the cache and padding by hand: the first cells of results/notebook.ipynb."""

import numpy as np

from shared.course.cells import Drawing, Table, curves, live

# %% [markdown]
# ## 1 · int8 y sus valores atípicos
#
# Un número se guarda como un entero de pocos bits por una escala. Con **una** escala para toda la matriz, un solo canal
# grande se la come entera. Dividir cada canal de la activación por un número y multiplicar por él la fila del peso no
# cambia el producto, y reparte el problema (SmoothQuant). Cambie los bits, el canal atípico, o α.

# %%
BITS, OUTLIER, ALPHA = 8, 40.0, 0.5


def quantised(x: np.ndarray, bits: int) -> np.ndarray:
    """What is left of x after rounding it to so many bits with one scale."""
    scale = np.abs(x).max() / (2 ** (bits - 1) - 1)
    return np.round(x / scale) * scale


def product_error(bits: int, outlier: float, alpha: float) -> Table:
    """Relative error of x @ w in few bits, plain and smoothed."""
    random = np.random.default_rng(0)
    x, w = random.normal(size=(64, 128)), random.normal(size=(128, 128))
    x[:, 7] *= outlier
    smooth = np.abs(x).max(0) ** alpha / np.abs(w).max(1) ** (1 - alpha)
    rows = []
    for name, factor in (("una escala", np.ones(128)), (f"canales igualados, α = {alpha:g}", smooth)):
        found = quantised(x / factor, bits) @ quantised(w * factor[:, None], bits)
        rows.append((name, f"{np.linalg.norm(found - x @ w) / np.linalg.norm(x @ w):.2%}"))
    return Table((f"{bits} bits, un canal {outlier:g} veces mayor", "error del producto"), tuple(rows))


live(product_error, BITS, OUTLIER, ALPHA)

# %% [markdown]
# ## 2 · La caché de claves y valores
#
# Cada token nuevo mira a todos los anteriores, pero las claves y valores de estos ya no cambian. Con caché se calcula
# una fila; sin ella, todas otra vez. El resultado es el mismo; el trabajo crece con T y no con T². Cambie T.

# %%
TOKENS, WIDTH = 64, 32


def attend(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """softmax(q·kᵀ/√d)·v; the last query may see every key."""
    scores = q @ k.T / np.sqrt(k.shape[1])
    hidden = np.arange(len(k)) > np.arange(len(k) - len(q), len(k))[:, None]
    weights = np.exp(np.where(hidden, -np.inf, scores) - scores.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True) @ v


def with_and_without(tokens: int, width: int) -> Drawing:
    """Rows of projections computed until each token; the last output of both ways is compared."""
    random = np.random.default_rng(0)
    x, (wq, wk, wv) = random.normal(size=(tokens, width)), random.normal(size=(3, width, width))
    keys, values = np.empty((0, width)), np.empty((0, width))
    rows = [0, 0]
    work: tuple[list[float], list[float]] = ([], [])
    for t in range(1, tokens + 1):
        seen, new = x[:t], x[t - 1 : t]
        keys, values = np.vstack([keys, new @ wk]), np.vstack([values, new @ wv])
        cached, again = attend(new @ wq, keys, values), attend(seen @ wq, seen @ wk, seen @ wv)[-1:]
        assert np.allclose(cached, again), "the cache changes nothing"
        for way, computed in enumerate((1, t)):
            rows[way] += computed
            work[way].append(rows[way])
    lines = {f"con caché: {rows[0]:,}": work[0], f"sin ella: {rows[1]:,}": work[1]}
    return curves(lines, title="¿Cuántas filas se proyectan hasta cada token?", xlabel="token", ylabel="filas")


live(with_and_without, TOKENS, WIDTH)

# %% [markdown]
# ## 3 · El relleno
#
# Un lote es tan largo como su texto más largo: el resto es relleno, que también se calcula. Ordenar por longitud antes
# de agrupar lo quita casi todo. Cambie el tamaño del lote, o lo desiguales que son los textos.

# %%
ROWS, UNEVEN = 16, 0.8


def padding(rows: int, uneven: float) -> Table:
    """Share of computed tokens that are padding, in order of arrival and sorted."""
    lengths = np.exp(np.random.default_rng(0).normal(4.5, uneven, 512)).astype(int) + 1
    said = []
    for name, order in (("por orden de llegada", lengths), ("ordenados por longitud", np.sort(lengths))):
        batches = [order[i : i + rows] for i in range(0, len(order), rows)]
        computed = sum(len(batch) * batch.max() for batch in batches)
        said.append((name, f"{computed:,}", f"{1 - lengths.sum() / computed:.1%}"))
    return Table((f"512 textos en lotes de {rows}", "tokens calculados", "son relleno"), tuple(said))


live(padding, ROWS, UNEVEN)
