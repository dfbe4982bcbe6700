# %% [markdown]
# # Ajuste fino con Trainer: la idea, y lo medido
#
# **Pregunta.** Con sólo 500 frases de entrenamiento, ¿hacen AWP y mixout que el ajuste fino de un codificador sea
# mejor, o al menos menos dependiente de la semilla? ¿Y sobrevive el entrenamiento a quedarse sin memoria?
#
# Primero se hacen a mano, en un minuto y con muy pocos datos: cambie los números en mayúsculas y vuelva a ejecutar la
# celda. Después viene lo medido, que se lee de `projects/hf_finetune/results/`: `make results-hf_finetune` rehace esos
# ficheros, `make notebook-hf_finetune` este cuaderno.
#
# *English summary: mixout, AWP and gradient accumulation by hand; then MiniLM fine-tuned by the Trainer on 500
# product-review sentences, plain, with mixout, with AWP, with both. Rate, γ and p were chosen on validation.*

# %%
"""Mixout and AWP by hand: the first cells of results/notebook.ipynb."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shared.course.cells import Drawing, Table, curves, live

# %% [markdown]
# ## 1 · Mixout, en una línea
#
# En cada paso, una parte p de los pesos vuelve por un momento a su valor preentrenado u: `u + K∘(w − u)`, con K = 0 ó
# 1/(1 − p). La división hace que, en media, el peso siga siendo w. Cambie p; con p = 0 no pasa nada.

# %%
P, DRAWS = 0.7, 400


def mixout(w: Tensor, u: Tensor, p: float) -> Tensor:
    """W with a random share p of it back at u, and the rest so much further from u that the mean is w."""
    keep = (torch.rand_like(w) >= p) / (1 - p)
    return u + keep * (w - u)


def mean_of_mixout(p: float, draws: int) -> Table:
    """How many weights are back, and how far the mean over draws is from w."""
    torch.manual_seed(0)
    u = torch.randn(50, 50)
    w = u + 0.1 * torch.randn(50, 50)
    drawn = torch.stack([mixout(w, u, p) for _ in range(draws)])
    back, off = (drawn == u).float().mean(), (drawn.mean(0) - w).abs().mean() / (w - u).abs().mean()
    rows = (
        ("pesos que vuelven a u", f"{back:.1%}"),
        (f"media de {draws} sorteos, distancia a w", f"{off:.1%} de |w − u|"),
    )
    return Table(("medida", "valor"), rows)


live(mean_of_mixout, P, DRAWS)

# %% [markdown]
# ## 2 · AWP: el gradiente, un poco cuesta arriba
#
# Cada matriz se mueve por un momento hacia donde la pérdida crece, una fracción γ de su norma; allí se toma el
# gradiente, y se aplica desde donde estaba. Con cien ejemplos y un décimo de las etiquetas mal, una red memoriza: la
# pérdida en validación baja y luego sube; AWP lo retrasa. A la larga memoriza también: ponga 200 pasos, u otra γ.

# %%
GAMMAS, STEPS = (0.0, 0.05, 0.2), 40


def uphill(weights: Sequence[Tensor], gradients: Sequence[Tensor], gamma: float) -> None:
    """Move each matrix by γ·‖w‖ along its gradient."""
    with torch.no_grad():
        for w, g in zip(weights, gradients, strict=True):
            w += gamma * w.norm() * g / (g.norm() + 1e-12)


def memorising(gammas: tuple[float, ...], steps: int) -> Drawing:
    """Validation loss at each step, for each γ."""
    generator, lines = torch.Generator().manual_seed(0), {}
    x = torch.randn(1100, 20, generator=generator)
    y = ((x[:, :5].sum(1) > 0) ^ (torch.rand(1100, generator=generator) < 0.1)).long()
    for gamma in gammas:
        torch.manual_seed(0)
        model, course = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 2)), []
        weights = [w for w in model.parameters() if w.ndim > 1]
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        for _ in range(steps):
            loss = nn.functional.cross_entropy(model(x[:100]), y[:100])
            saved = [w.detach().clone() for w in weights]
            uphill(weights, list(torch.autograd.grad(loss, weights)), gamma)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[:100]), y[:100]).backward()
            with torch.no_grad():
                for w, copy in zip(weights, saved, strict=True):
                    w.copy_(copy)  # the way back is a copy: subtracting δ would round
            optimizer.step()
            with torch.no_grad():
                course.append(nn.functional.cross_entropy(model(x[100:]), y[100:]).item())
        lines[f"γ = {gamma:g}"] = course
    return curves(
        lines, title="¿Cuándo empieza a memorizar? Pérdida en validación", xlabel="paso", ylabel="pérdida (nats)"
    )


live(memorising, GAMMAS, STEPS)

# %% [markdown]
# ## 3 · Microlotes desiguales
#
# Sin memoria para el lote entero se acumulan microlotes. La media de las medias **no** es la media si los microlotes
# tienen tamaños distintos: hay que sumar las pérdidas y dividir una vez. Cambie el tamaño; con un divisor de 10 la
# diferencia desaparece, y por eso este error pasa inadvertido.

# %%
MICRO = 4


def accumulated(micro: int) -> Table:
    """The gradient of ten rows, whole and from micro-batches, in the two ways."""
    torch.manual_seed(0)
    x, y, w = torch.randn(10, 5), torch.randn(10, 1), torch.randn(5, 1, requires_grad=True)

    def gradient(pieces: list[Tensor]) -> Tensor:
        return torch.autograd.grad(torch.stack(pieces).sum(), w)[0]

    def errors(rows: Tensor) -> Tensor:
        return nn.functional.mse_loss(x[rows] @ w, y[rows], reduction="none")

    parts = torch.arange(10).split(micro)
    whole = gradient([errors(torch.arange(10)).mean()])
    right = gradient([errors(rows).sum() / 10 for rows in parts])
    wrong = gradient([errors(rows).mean() / len(parts) for rows in parts])
    rows = [(name, f"{(g - whole).norm() / whole.norm():.1%}")
            for name, g in (("suma entre el total", right), ("media de las medias", wrong))]  # fmt: skip
    sizes = " + ".join(str(len(rows)) for rows in parts)
    return Table((f"10 filas en microlotes de {sizes}", "error del gradiente"), tuple(rows))


live(accumulated, MICRO)
