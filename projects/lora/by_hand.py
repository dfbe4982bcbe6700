# %% [markdown]
# # LoRA desde cero: la idea, y lo medido
#
# **Pregunta.** ¿Cuánta exactitud se pierde si, en vez de afinar los 22,6 millones de parámetros de un codificador, se
# entrena sólo una actualización de rango bajo junto a cada capa lineal?
#
# Primero se hace a mano, en un minuto y con muy pocos datos: cambie los números en mayúsculas y vuelva a ejecutar la
# celda. Después viene lo medido, que se lee de `projects/lora/results/`: `make results-lora` rehace esos ficheros,
# `make notebook-lora` este cuaderno.
#
# *English summary: the update of low rank built by hand and trained for a minute; then the recorded results. Rates and
# ranks were chosen on validation, the tables are on the test questions, mean over seeds.*

# %%
"""LoRA by hand: the first cells of results/notebook.ipynb."""

from typing import Any

import torch
from torch import Tensor, nn

from shared.course.cells import Drawing, Table, curves, live
from shared.course.few import tune

# %% [markdown]
# ## 1 · La capa, en ocho líneas
#
# El peso congelado queda como está; a su lado se aprende `escala · x·A·B`, con A de d×r y B de r×k. B empieza en cero:
# al principio la capa es exactamente la original.


# %%
class LowRank(nn.Module):
    """A frozen linear layer, and beside it scale · x·A·B."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.base, self.scale = base.requires_grad_(False), alpha / rank
        self.A = nn.Parameter(torch.randn(base.in_features, rank) / base.in_features**0.5)
        self.B = nn.Parameter(torch.zeros(rank, base.out_features))

    def forward(self, x: Tensor) -> Tensor:
        """(…, d) → (…, k)."""
        return self.base(x) + self.scale * (x @ self.A) @ self.B


# %% [markdown]
# Cambie el rango, o el ancho de la capa: cuántos parámetros se entrenan, y cuánto cambia la salida antes y después de
# que B se mueva. Fusionar es sumar `escala · (A·B)ᵀ` al peso; la diferencia que queda es sólo redondeo.

# %%
WIDTH, RANK, ALPHA = 384, 8, 16.0


def one_layer(width: int, rank: int, alpha: float) -> Table:
    """What the update costs, and what it does."""
    torch.manual_seed(0)
    base, x = nn.Linear(width, width), torch.randn(4, width)
    layer = LowRank(base, rank, alpha)
    at_first = (layer(x) - base(x)).abs().max()
    nn.init.normal_(layer.B, std=0.02)
    merged = base.weight + layer.scale * (layer.A @ layer.B).T
    moved, rounding = layer(x) - base(x), layer(x) - nn.functional.linear(x, merged, base.bias)
    return Table(
        ("medida", "valor"),
        (
            ("parámetros de A y B", f"{2 * width * rank:,}, el {2 * rank / width:.1%} de la capa"),
            ("cambio de la salida con B = 0", f"{at_first:.0f}"),
            ("cambio con B al azar", f"{moved.abs().max():.3f}"),
            ("diferencia tras fusionar", f"{rounding.abs().max():.1e}"),
        ),
    )


live(one_layer, WIDTH, RANK, ALPHA)

# %% [markdown]
# ## 2 · En un codificador de verdad
#
# Se envuelven dos capas de cada uno de los dos últimos bloques de MiniLM y se entrena con 192 preguntas de TREC. El
# rango 0 es la referencia: sólo la cabeza lineal. Ponga otros rangos (1, 64…) u otras capas: `("key", "value")`.

# %%
RANKS, LAYERS = (0, 2, 16), ("query", "value")


def ranks(tried: tuple[int, ...], layers: tuple[str, ...]) -> Drawing:
    """Loss with each rank; its name says how many validation questions were right, and what was trained."""
    lines = {}
    for rank in tried:

        def wrap(blocks: Any, rank: int = rank) -> None:
            for attention in [block.attention.self for block in blocks if rank]:
                for name in layers:
                    setattr(attention, name, LowRank(getattr(attention, name), rank, ALPHA))

        done = tune(wrap)
        lines[f"r = {rank}: {done.right:.0%}, {done.parameters:,} par."] = done.losses
    title = "¿Qué añade el rango? A la derecha, aciertos en validación"
    return curves(lines, title=title, xlabel="paso", ylabel="entropía cruzada (nats)")


live(ranks, RANKS, LAYERS)

# %% [markdown]
# ## 3 · ¿Por qué basta un rango bajo?
#
# La mejor aproximación de rango r de una matriz es quedarse con sus r mayores valores singulares. Un peso entrenado
# necesita muchos; el *gradiente* de una tarea, que es lo que LoRA aproxima, cabe en muy pocos. Cambie el bloque.

# %%
BLOCK = 1


def spectra(block: int) -> Drawing:
    """Share of the squared norm that the largest singular values hold, of a weight and of its gradient."""
    watched: list[Tensor] = []
    tune(lambda blocks: watched.append(blocks[block].attention.self.value.weight.requires_grad_(True)), steps=1, rate=0)
    shares = {}
    for name, matrix in (("peso", watched[0].detach()), ("gradiente", watched[0].grad)):
        squares = torch.linalg.svdvals(matrix) ** 2
        shares[name] = (squares.cumsum(0) / squares.sum())[:64].tolist()
    title = "¿Cuántas direcciones hacen falta?"
    return curves(shares, title=title, xlabel="mayores valores singulares", ylabel="parte de la norma²")


live(spectra, BLOCK)
