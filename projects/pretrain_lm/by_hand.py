# %% [markdown]
# # Un modelo de lenguaje pequeño: la idea, y lo medido
#
# **Pregunta.** ¿Hasta dónde llega un modelo de lenguaje hecho entero aquí, de los textos sin limpiar a los párrafos,
# en una máquina pequeña? Lo que predice se compara con un 5-grama de los mismos tokens; lo que escribe, con los
# artículos.
#
# Primero se hace a mano, letra a letra y en un minuto: cambie los números en mayúsculas y vuelva a ejecutar la celda.
# Después viene lo medido, que se lee de `projects/pretrain_lm/results/`: `make results-pretrain_lm` rehace esos
# ficheros, `make notebook-pretrain_lm` este cuaderno.
#
# *English summary: causal attention, training and sampling by hand, letter by letter; then a small Transformer
# pretrained on cleaned news beside Kneser–Ney n-grams and GPT-2 of the same size. No rate was tuned on the test
# articles; the news model's size was raised once after a first test figure had been seen.*

# %%
"""A language model by hand: the first cells of results/notebook.ipynb."""

import math
from functools import cache

import torch
from torch import Tensor, nn

from shared.assets.news_articles import news
from shared.course.cells import Drawing, Table, curves, descend, live

# %% [markdown]
# ## 1 · La máscara
#
# Cada posición mira a las demás con pesos que suman 1. La máscara prohíbe mirar hacia delante: se cambia la última
# letra y se ve qué posiciones lo notan. Ponga `CAUSAL` en `False`.

# %%
CAUSAL, TIME, WIDTH = True, 8, 32


class Attention(nn.Module):
    """softmax(q·kᵀ/√d + mask)·v, with one head."""

    def __init__(self, width: int, *, causal: bool) -> None:
        super().__init__()
        self.qkv, self.out, self.causal = nn.Linear(width, 3 * width), nn.Linear(width, width), causal

    def forward(self, x: Tensor) -> Tensor:
        """(b,t,d) → (b,t,d)."""
        q, k, v = self.qkv(x).chunk(3, -1)
        scores = q @ k.transpose(-1, -2) / math.sqrt(x.shape[-1])  # (b,t,t)
        if self.causal:
            future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
            scores = scores.masked_fill(future, -torch.inf)
        return self.out(scores.softmax(-1) @ v)


def who_notices(causal: bool, time: int, width: int) -> Table:
    """Change of each position's output when only the last input changes."""
    torch.manual_seed(0)
    attention, x = Attention(width, causal=causal), torch.randn(1, time, width)
    other = x.clone()
    other[:, -1] += 1
    moved = (attention(other) - attention(x)).abs().amax(-1)[0]
    return Table(tuple(f"t = {t}" for t in range(time)), (tuple(f"{change:.3f}" for change in moved),))


live(who_notices, CAUSAL, TIME, WIDTH)

# %% [markdown]
# ## 2 · Entrenar, y hacer trampa
#
# Un modelo de letras con dos de esas capas aprende a decir la letra siguiente de noticias. Sin máscara la pérdida cae
# por debajo de lo posible: la respuesta está a la vista, y se copia. Eso no es aprender, y se nota al escribir.

# %%
STEPS, CONTEXT = 150, 48
LETTERS = "\n abcdefghijklmnopqrstuvwxyz.,'-"


class Letters(nn.Module):
    """Embeddings, two blocks of attention and feed-forward, and the scores of the next letter."""

    def __init__(self, *, causal: bool, width: int = 64) -> None:
        super().__init__()
        self.letter, self.place = nn.Embedding(len(LETTERS), width), nn.Embedding(CONTEXT, width)
        self.attention = nn.ModuleList(Attention(width, causal=causal) for _ in range(2))
        self.feed = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
            for _ in range(2)
        )
        self.norm, self.scores = nn.LayerNorm(width), nn.Linear(width, len(LETTERS))

    def forward(self, ids: Tensor) -> Tensor:
        """(b,t) → (b,t,v)."""
        x = self.letter(ids) + self.place.weight[: ids.shape[1]]
        for attention, feed in zip(self.attention, self.feed, strict=True):
            x = x + attention(self.norm(x))
            x = x + feed(x)
        return self.scores(x)


@cache
def trained(causal: bool, steps: int) -> tuple[Letters, list[float]]:
    """A model and its losses, on 200 news articles."""
    torch.manual_seed(0)
    text = "\n".join(news()["train"][:200]["text"]).lower()
    ids = torch.tensor([LETTERS.index(letter) for letter in text if letter in LETTERS])
    model = Letters(causal=causal)

    def loss(_: int) -> Tensor:
        at = torch.randint(len(ids) - CONTEXT, (16, 1)) + torch.arange(CONTEXT + 1)
        scores = model(ids[at[:, :-1]])
        return nn.functional.cross_entropy(scores.flatten(0, 1), ids[at[:, 1:]].flatten())

    return model, descend(model.parameters(), loss, steps=steps, rate=3e-3)


def with_and_without(steps: int) -> Drawing:
    """Losses with the mask and without."""
    lines = {name: trained(causal, steps)[1] for name, causal in (("con máscara", True), ("sin máscara", False))}
    return curves(lines, title="¿Quién hace trampa?", xlabel="paso", ylabel="pérdida (nats por letra)")


live(with_and_without, STEPS)

# %% [markdown]
# ## 3 · Escribir
#
# Se toma una letra según sus probabilidades y se vuelve a empezar. Temperaturas bajas repiten; altas, desvarían. El
# último renglón es el modelo sin máscara, que al escribir no tiene a quién copiar.

# %%
TEMPERATURES, START = (0.1, 0.7, 1.5), "the president "


def write(model: Letters, start: str, temperature: float, letters: int = 70) -> str:
    """The start and so many letters more."""
    torch.manual_seed(0)
    ids = [LETTERS.index(letter) for letter in start]
    for _ in range(letters):
        with torch.no_grad():
            scores = model(torch.tensor([ids[-CONTEXT:]]))[0, -1]
        ids.append(int(torch.multinomial((scores / temperature).softmax(0), 1)))
    return "".join(LETTERS[i] for i in ids).replace("\n", "¶")


def written(temperatures: tuple[float, ...], start: str) -> Table:
    """A text at each temperature, and how many of its pairs of letters are distinct."""
    rows = []
    for causal, temperature in [*((True, t) for t in temperatures), (False, 0.7)]:
        text = write(trained(causal, STEPS)[0], start, temperature)
        pairs = [text[i : i + 2] for i in range(len(start), len(text) - 1)]
        name = f"{temperature:g}" + ("" if causal else ", sin máscara")
        rows.append((name, text, f"{len(set(pairs)) / len(pairs):.2f}"))
    return Table(("temperatura", "lo que escribe", "distinct-2 (letras)"), tuple(rows))


live(written, TEMPERATURES, START)
