# %% [markdown]
# # PPO, DPO y ORPO: la idea, y lo medido
#
# **Pregunta.** Con unos cientos de pares de preferencias y un portátil, ¿qué método conviene, y con LoRA o con
# adaptadores?
#
# Primero se hace a mano, con una política de 30 «respuestas» que se entrena en segundos: cambie los números en
# mayúsculas y vuelva a ejecutar la celda. Después viene lo medido con SmolLM2, que se lee de
# `projects/ppo_dpo_orpo/results/`; `make results-ppo_dpo_orpo` lo rehace, y `make notebook-ppo_dpo_orpo` este cuaderno.
#
# *English summary: DPO, ORPO and PPO by hand on a policy of 30 responses, with pairs in the wrong order and β to turn;
# then the recorded results, at equal core-seconds and at equal divergence.*

# %%
"""DPO, ORPO and PPO by hand: the first cells of results/notebook.ipynb."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from shared.course.cells import Table, descend, live

# %% [markdown]
# ## 1 · De pares a una pérdida
#
# Treinta respuestas tienen un valor oculto; de cada par sólo se sabe cuál gustó más, y una parte de los pares está en
# el orden equivocado. DPO no aprende ninguna recompensa: la suya es β·log(π/π₀), y pide que la de la elegida sea mayor.
# Cambie β, el número de pares o la parte equivocada: los aciertos en los pares que vio engañan.

# %%
RESPONSES, PAIRS, WRONG, BETA = 30, 120, 0.1, 0.1


def world(pairs: int, wrong: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden values, log π₀, and of each pair the chosen and the rejected response."""
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(RESPONSES, generator=generator)
    start = torch.randn(RESPONSES, generator=generator).log_softmax(0)
    left, right = torch.multinomial(start.exp(), 2 * pairs, replacement=True, generator=generator).view(2, pairs)
    left, right = left[left != right], right[left != right]
    swapped = torch.rand(len(left), generator=generator) < wrong
    first = (values[left] > values[right]) ^ swapped
    return values, start, torch.where(first, left, right), torch.where(first, right, left)


def dpo(logits: Tensor, start: Tensor, chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """−log σ(β·[log(π/π₀) of the chosen − the same of the rejected]) (Rafailov et al. 2023, eq. 7)."""
    gain = logits.log_softmax(0) - start
    return -logsigmoid(beta * (gain[chosen] - gain[rejected])).mean()


def described(logits: Tensor, values: Tensor, start: Tensor) -> tuple[float, float, float]:
    """Mean value of what the policy says, KL(π‖π₀) in nats, and the share of all pairs that it orders rightly."""
    now = logits.detach().log_softmax(0)
    gain = now - start
    right = ((gain[:, None] > gain) == (values[:, None] > values)).float()
    return float(now.exp() @ values), float(now.exp() @ gain), float(right.mean())


def learned(pairs: int, wrong: float, beta: float) -> Table:
    """What DPO makes of the pairs, beside where it began."""
    values, start, chosen, rejected = world(pairs, wrong)
    logits = start.clone().requires_grad_(True)
    rows = [("de partida", *described(logits, values, start), 0.5)]
    descend([logits], lambda _: dpo(logits, start, chosen, rejected, beta), steps=200, rate=0.05)
    gain = logits.detach().log_softmax(0) - start
    seen = float((gain[chosen] > gain[rejected]).float().mean())
    rows.append((f"DPO, β = {beta:g}", *described(logits, values, start), seen))
    heads = ("política", "valor medio", "KL, nats", "pares bien ordenados", "de los que vio")
    return Table(heads, tuple((name, f"{v:+.2f}", f"{kl:.2f}", f"{a:.0%}", f"{s:.0%}") for name, v, kl, a, s in rows))


live(learned, PAIRS, WRONG, BETA)

# %% [markdown]
# ## 2 · ORPO, y por qué se vuelve NaN
#
# Sin referencia: compara los *odds* p/(1 − p) de dos probabilidades medias. Con p = 1, log(1 − p) es −∞ y su gradiente
# infinito, que por cero da NaN, si no se acota antes. Ponga otras probabilidades, u otra cota.

# %%
LOGARITHMS, BOUND = (-5.0, -0.5, -1e-3, -1e-9, 0.0), 1e-6


def log_odds(mean: Tensor, bound: float) -> Tensor:
    """Log p − log(1 − p) of a mean log-probability, which is held at most at −bound."""
    held = mean.clamp(max=-bound) if bound else mean
    return held - torch.log1p(-held.exp())


def odds(logarithms: tuple[float, ...], bound: float) -> Table:
    """Log-odds and their gradient, without the bound and with it."""
    rows = []
    for each in logarithms:
        cells = []
        for limit in (0.0, bound):
            mean = torch.tensor(each, dtype=torch.float64, requires_grad=True)
            value = log_odds(mean, limit)
            (gradient,) = torch.autograd.grad(value, mean)
            cells += [f"{value.item():.3g}", f"{gradient.item():.3g}"]
        rows.append((f"{each:g}", *cells))
    return Table(("log p medio", "sin cota", "su gradiente", "con cota", "su gradiente "), tuple(rows))


live(odds, LOGARITHMS, BOUND)

# %% [markdown]
# ## 3 · Los tres, por lo andado
#
# PPO no ve pares: dice una respuesta, pregunta su valor y da cuatro pasos sobre el objetivo recortado. Compare los
# tres a igual distancia de la política de partida, no a iguales pasos. Cambie la parte equivocada: PPO no tiene pares
# que se equivoquen, y aquí su juez no yerra; con un juez aprendido perseguiría también sus errores.

# %%
STEPS, DISTANCE, CLIP, PENALTY, LAMBDA = 120, 0.5, 0.2, 0.1, 1.0


def orpo(logits: Tensor, chosen: Tensor, rejected: Tensor, weight: float) -> Tensor:
    """−log π of the chosen − λ·log σ of the log odds ratio (Hong et al. 2024, eq. 6 and 7)."""
    now = logits.log_softmax(0)
    ratio = log_odds(now[chosen], BOUND) - log_odds(now[rejected], BOUND)
    return (-now[chosen] - weight * logsigmoid(ratio)).mean()


def ppo(logits: Tensor, start: Tensor, values: Tensor, clip: float, penalty: float) -> None:
    """A round: 64 responses, their values less β·log(π/π₀) and their mean; four steps of the clipped objective."""
    old = logits.detach().log_softmax(0)
    said = torch.multinomial(old.exp(), 64, replacement=True)
    score = values[said] - penalty * (old - start)[said]
    advantage = score - score.mean()

    def loss(_: int) -> Tensor:
        ratio = (logits.log_softmax(0) - old)[said].exp()
        return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()

    descend([logits], loss, steps=4, rate=0.05)


def course(method: str, steps: int) -> list[tuple[float, float, float]]:
    """What `described` says at the start and after every four steps of a method."""
    values, start, chosen, rejected = world(PAIRS, WRONG)
    torch.manual_seed(0)
    logits = start.clone().requires_grad_(True)
    losses = {
        "DPO": lambda _: dpo(logits, start, chosen, rejected, BETA),
        "ORPO": lambda _: orpo(logits, chosen, rejected, LAMBDA),
    }
    seen = [described(logits, values, start)]
    for _ in range(steps // 4):
        if method == "PPO":
            ppo(logits, start, values, CLIP, PENALTY)
        else:
            descend([logits], losses[method], steps=4, rate=0.05)
        seen.append(described(logits, values, start))
    return seen


def at_distance(steps: int, distance: float) -> Table:
    """Each method's mean value where it first is so far from the start, on a line over √KL, and at its end."""
    rows = []
    for method in ("DPO", "ORPO", "PPO"):
        seen = course(method, steps)
        place = next((n for n, (_, kl, _) in enumerate(seen) if kl >= distance), None)
        there = "no llega"
        if place:
            (before, near, _), (after, beyond, _) = seen[place - 1], seen[place]
            share = (distance**0.5 - max(near, 0.0) ** 0.5) / (beyond**0.5 - max(near, 0.0) ** 0.5)
            there = f"{before + share * (after - before):+.2f}"
        value, kl, _ = seen[-1]
        rows.append((method, there, "–" if place is None else 4 * place, f"{value:+.2f}", f"{kl:.2f}"))
    heads = ("método", f"valor medio a {distance:g} nats", "pasos hasta ahí", "valor al final", "KL al final")
    return Table(heads, tuple(rows))


live(at_distance, STEPS, DISTANCE)
