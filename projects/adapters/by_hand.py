# %% [markdown]
# # Adaptadores: la idea, y lo medido
#
# **Pregunta.** Si en vez de afinar los 22,6 millones de parámetros de un codificador se entrenan sólo dos capas
# delgadas junto a cada subcapa, ¿qué exactitud se pierde y qué se gana en parámetros y en tiempo?
#
# Primero se hacen a mano, en un minuto y con muy pocos datos: cambie los números en mayúsculas y vuelva a ejecutar la
# celda. Después viene lo medido, que se lee de `projects/adapters/results/`: `make results-adapters` y
# `make bench-adapters` rehacen esos ficheros, `make notebook-adapters` este cuaderno.
#
# *English summary: an adapter built by hand on a forward hook, and trained for a minute; then bottleneck and parallel
# adapters on TREC, movie reviews and synthetic entities, beside full fine-tuning, PEFT's LoRA and the `adapters`
# library. Rates were chosen on validation; tables are on the test, mean over seeds.*

# %%
"""Adapters by hand: the first cells of results/notebook.ipynb."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from shared.course.cells import Drawing, Table, curves, live
from shared.course.few import blocks, questions, tune

# %% [markdown]
# ## 1 · El adaptador, y el gancho que lo llama
#
# Dos capas delgadas: bajar a m, ReLU, subir. Un gancho suma lo que dan a lo que la subcapa devuelve, sin tocar su
# código. En serie, el adaptador lee la **salida** de la subcapa; en paralelo, su **entrada**.


# %%
class Adapter(nn.Module):
    """up(relu(down(x))); with `zero_up` it gives 0 until it is trained, else both are drawn as He et al. (2015) do."""

    def __init__(self, width: int, m: int, *, zero_up: bool) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, m), nn.Linear(m, width)
        nn.init.kaiming_normal_(self.down.weight)
        nn.init.zeros_(self.up.bias)
        nn.init.zeros_(self.up.weight) if zero_up else nn.init.kaiming_normal_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(…, d) → (…, d)."""
        return self.up(torch.relu(self.down(x)))


def attach(sublayer: nn.Module, adapter: Adapter, *, parallel: bool) -> None:
    """Have a hook add what the adapter gives to what the sublayer returns."""
    sublayer.adapter = adapter  # so that its parameters are found, and trained

    def hook(_: nn.Module, given: tuple[Any, ...], returned: Tensor) -> Tensor:
        return returned + adapter(given[0] if parallel else returned)

    sublayer.register_forward_hook(hook)


# %% [markdown]
# Con la proyección de subida en cero, la red adaptada empieza siendo **exactamente** la de antes. Ponga `ZERO_UP` en
# `False`: ya no lo es, y cuanto más ancho el adaptador, menos.

# %%
M, ZERO_UP = 16, True


def start(m: int, zero_up: bool) -> Table:
    """How far the adapted blocks are from the base before any training."""
    hidden, shown, _ = questions()
    torch.manual_seed(0)
    layers, outputs = blocks(), []
    for adapted in (False, True):
        x = hidden[:8]
        for layer in layers:
            if adapted:
                attach(layer.attention.output.dense, Adapter(384, m, zero_up=zero_up), parallel=False)
            x = layer(x, shown[:8, None, None])
        outputs.append(x)
    cost, apart = 2 * (2 * 384 * m + 384 + m), (outputs[1] - outputs[0]).abs().max()
    row = (m, "sí" if zero_up else "no", f"{cost:,}", f"{apart:.4f}")
    return Table(("m", "subida en cero", "parámetros añadidos", "mayor cambio de la salida"), (row,))


live(start, M, ZERO_UP)

# %% [markdown]
# ## 2 · Entrenarlos
#
# En los dos últimos bloques de MiniLM, con 192 preguntas de TREC. `None` es la referencia: sólo la cabeza lineal.
# Cambie los anchos, o de serie a paralelo.

# %%
WIDTHS, PARALLEL = (None, 4, 32), False


def train(widths: tuple[int | None, ...], parallel: bool, zero_up: bool = True) -> Drawing:
    """Loss with each width; its name says how many validation questions were right, and what was trained."""
    lines = {}
    for m in widths:

        def insert(layers: Any, m: int | None = m) -> None:
            for layer in layers if m else ():
                for sublayer in (layer.attention.output.dense, layer.output.dense):
                    adapter = Adapter(384, m or 1, zero_up=zero_up)
                    attach(sublayer, adapter, parallel=parallel and sublayer is layer.attention.output.dense)

        done = tune(insert)
        lines[f"m = {m or 0}: {done.right:.0%}, {done.parameters:,} par."] = done.losses
    title = "¿Qué añade el ancho? A la derecha, aciertos en validación"
    return curves(lines, title=title, xlabel="paso", ylabel="entropía cruzada (nats)")


live(train, WIDTHS, PARALLEL)

# %% [markdown]
# ## 3 · ¿Importa empezar en cero?
#
# Los mismos adaptadores, una vez con la subida en cero y otra con las dos proyecciones al azar, con una tasa que se
# puede cambiar: pruebe 1e-3 y 3e-2.

# %%
RATE = 1e-2


def starts(rate: float) -> Drawing:
    """Loss with and without the zero."""

    def insert(layers: Any, zero_up: bool) -> None:
        for layer in layers:
            attach(layer.output.dense, Adapter(384, 64, zero_up=zero_up), parallel=False)

    lines = {}
    for name, zero_up in (("subida en cero", True), ("las dos al azar", False)):
        lines[name] = tune(partial(insert, zero_up=zero_up), rate=rate).losses
    return curves(lines, title=f"Dos comienzos, tasa {rate:g}", xlabel="paso", ylabel="entropía cruzada (nats)")


live(starts, RATE)
