# %% [markdown]
# # PPO desde cero: la idea, y lo medido
#
# **Pregunta.** ¿Se puede acercar un modelo de 135 millones de parámetros a lo que gusta, sólo con comparaciones? ¿Y
# qué le pasa al texto cuando nada lo sujeta al modelo de partida?
#
# Primero se hace a mano, con una política de 30 «palabras» que se entrena en segundos: cambie los números en mayúsculas
# y vuelva a ejecutar la celda. Después viene lo medido con SmolLM2, que continúa comienzos de reseñas de cine: un juez
# oculto (la *recompensa verdadera*) prefiere una de dos continuaciones, con ruido; un modelo de recompensa aprende de
# esas elecciones y PPO aprende de él. Se lee de `projects/rlhf_ppo/results/`; `make results-rlhf_ppo` lo rehace.
#
# *English summary: the clipped objective, its penalty and over-optimisation by hand on a policy of 30 words; then
# preferences of a hidden judge, a Bradley–Terry reward model and PPO with LoRA on SmolLM2.*

# %%
"""PPO by hand: the first cells of results/notebook.ipynb."""

from collections.abc import Callable

import torch
from torch import Tensor

from shared.course.cells import Drawing, Table, curves, descend, live

# %% [markdown]
# ## 1 · El objetivo recortado
#
# La razón dice cuánto más probable es ahora lo que se hizo. Más allá de 1 ± ε el mínimo deja de crecer: ya no hay
# gradiente que lleve el token más lejos. Cambie ε, o el signo de la ventaja.

# %%
CLIP, ADVANTAGE = 0.2, 1.0


def clipped(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """min(ρ·A, clamp(ρ, 1 − ε, 1 + ε)·A), which PPO maximises (Schulman et al. 2017, eq. 7)."""
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def objective(clip: float, advantage: float) -> Drawing:
    """The objective over the ratio, with the clip and without."""
    ratio = torch.linspace(0.2, 2.0, 100)
    lines = {"sin recorte": ratio * advantage, f"ε = {clip}": clipped(ratio, torch.tensor(advantage), clip)}
    title = f"¿Hasta dónde empuja una ventaja de {advantage:+g}?"
    shown = {name: line.tolist() for name, line in lines.items()}
    return curves(shown, x=ratio.tolist(), title=title, xlabel="razón de probabilidades", ylabel="objetivo")


live(objective, CLIP, ADVANTAGE)

# %% [markdown]
# ## 2 · De comparaciones a una recompensa
#
# Treinta palabras tienen un valor oculto. Sólo vemos qué palabra de dos gustó más, con ruido; la pérdida de Bradley y
# Terry pide que la elegida puntúe más. Con pocas comparaciones la recompensa aprendida se equivoca en algunas palabras:
# cambie `PAIRS`, o la semilla. La 1 enseña un error claro; con la 2 su favorita es de verdad la mejor, y no pasa nada.

# %%
WORDS, PAIRS, SEED = 30, 60, 1


def world(pairs: int) -> tuple[Tensor, Tensor]:
    """Gold values of the words, and the reward that is learned from so many noisy comparisons."""
    generator = torch.Generator().manual_seed(SEED)
    gold = torch.randn(WORDS, generator=generator)
    left, right = torch.randint(WORDS, (2, pairs), generator=generator)
    wins = torch.rand(pairs, generator=generator) < torch.sigmoid(gold[left] - gold[right])
    chosen, rejected = torch.where(wins, left, right), torch.where(wins, right, left)
    learned = torch.zeros(WORDS, requires_grad=True)
    descend([learned], lambda _: -torch.nn.functional.logsigmoid(learned[chosen] - learned[rejected]).mean(),
            steps=300, rate=0.1)  # fmt: skip
    reward = learned.detach()
    return gold, (reward - reward.mean()) / reward.std()


def learned(pairs: int) -> Table:
    """How well the learned reward orders the words."""
    gold, reward = world(pairs)
    right = ((gold[:, None] > gold) == (reward[:, None] > reward)).float().mean()
    best = int(reward.argmax())
    place = int((gold > gold[best]).sum()) + 1
    heads = ("comparaciones", "pares bien ordenados", "su palabra favorita, en el orden verdadero")
    return Table(heads, ((pairs, f"{right:.0%}", f"n.º {place} de {WORDS}"),))


live(learned, PAIRS)

# %% [markdown]
# ## 3 · PPO, y lo que pasa sin penalización
#
# Cada ronda: se muestrean palabras, la ventaja es la recompensa aprendida menos `β·log(π/π₀)` menos su media, y se dan
# cuatro pasos sobre el objetivo recortado. Con β = 0 la política persigue los errores de la recompensa aprendida:
# la aprendida sube y la verdadera no la sigue. Cambie β, ε o las rondas.

# %%
BETAS, ROUNDS = (0.0, 0.5), 60


def ppo(beta: float, rounds: int, clip: float = CLIP) -> tuple[list[float], list[float], float]:
    """Learned and gold reward after each round, and the last divergence from the start, in nats."""
    gold, reward = world(PAIRS)
    torch.manual_seed(0)
    logits, start = torch.zeros(WORDS, requires_grad=True), torch.full((WORDS,), 1 / WORDS).log()
    course: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        old = logits.detach().log_softmax(0)
        words = torch.multinomial(old.exp(), 128, replacement=True)
        score = reward[words] - beta * (old - start)[words]
        loss = surrogate(logits, old, words, score - score.mean(), clip)
        descend([logits], loss, steps=4, rate=0.05)
        for kept, value in zip(course, (reward, gold), strict=True):
            kept.append(float(logits.softmax(0).detach() @ value))
    now = logits.detach().log_softmax(0)
    return *course, float((now.exp() * (now - start)).sum())


def surrogate(logits: Tensor, old: Tensor, words: Tensor, advantage: Tensor, clip: float) -> Callable[[int], Tensor]:
    """The loss of an update: the clipped objective, negated."""
    return lambda _: -clipped((logits.log_softmax(0) - old)[words].exp(), advantage, clip).mean()


def rewards(betas: tuple[float, ...], rounds: int) -> Drawing:
    """Both rewards, round by round, for each penalty."""
    lines = {}
    for beta in betas:
        proxy, gold, kl = ppo(beta, rounds)
        lines[f"aprendida, β = {beta:g}"] = proxy
        lines[f"verdadera, β = {beta:g} (KL {kl:.1f})"] = gold
    return curves(lines, title="¿Sigue la recompensa verdadera a la aprendida?", xlabel="ronda", ylabel="recompensa")


live(rewards, BETAS, ROUNDS)
