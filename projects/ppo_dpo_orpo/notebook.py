# %% [markdown]
# # PPO, DPO y ORPO: tres maneras de aprender de preferencias
#
# **Pregunta.** Con unos cientos de pares de preferencias y un portátil, ¿qué método conviene, y con LoRA o con
# adaptadores? Las tablas se leen de `projects/ppo_dpo_orpo/results/`; las primeras celdas calculan las pérdidas
# mismas, y se pueden cambiar.
#
# *English summary: DPO, ORPO and PPO on one set of pairs, with LoRA and with bottleneck adapters, at equal
# core-seconds. The first cells run the losses themselves; every table is read from `results/`.*

# %%
"""Results of ppo_dpo_orpo, shown from results/; source of results/notebook.ipynb."""

import torch

from projects.ppo_dpo_orpo import losses
from projects.ppo_dpo_orpo.analysis.shown import views
from projects.ppo_dpo_orpo.study import RESULTS
from shared.course.cells import Picture, declared

shown = views(RESULTS)

# %% [markdown]
# ## DPO a mano
#
# Log-probabilidades sumadas de la respuesta elegida y de la rechazada, con la política (−10, −20) y con la referencia
# (−15, −15). El margen es 10 y, con β = 0,1, la pérdida es −log σ(1) = 0,3133. Cambia β, o iguala política y
# referencia: queda ln 2, la pérdida de quien echa una moneda.

# %%
beta = 0.1
policy, reference = torch.tensor([-10.0, -20.0]), torch.tensor([-15.0, -15.0])
margin = losses.dpo_margin(policy[:1], policy[1:], reference[:1], reference[1:])
{
    "margen": margin.item(),
    "DPO": losses.dpo_loss(margin, beta=beta).item(),
    "conservadora, ε = 0,1": losses.dpo_loss(margin, beta=beta, wrong=0.1).item(),
    "IPO": losses.ipo_loss(margin, beta=beta).item(),
}

# %% [markdown]
# ## Por qué ORPO se vuelve NaN, y cómo no
#
# Con una probabilidad media cercana a 1 los *odds* son infinitos. Sin la cota, log(1 − p) es −∞ y su gradiente NaN; con
# ella ambos son finitos. Prueba otros valores de `mean`.

# %%
mean = torch.tensor([0.0, -1e-9, -1e-3, -0.5, -5.0], requires_grad=True)
naive = mean - torch.log1p(-torch.exp(mean))
safe = losses.log_odds(mean)
(gradient,) = torch.autograd.grad(safe.sum(), mean)
{"ingenua": naive.tolist(), "con cota": safe.tolist(), "gradiente": gradient.tolist()}

# %% [markdown]
# ## El recorte de PPO
#
# Razones 1,5 y 0,5 con ε = 0,2: un token bueno deja de empujar en 1,2 y uno malo en 0,8; los demás quedan libres.

# %%
ratios, advantages = torch.tensor([[1.5, 0.5, 1.5, 0.5]]), torch.tensor([[1.0, -1.0, -1.0, 1.0]])
everywhere = torch.ones_like(ratios, dtype=torch.bool)
[x.item() for x in losses.ppo_surrogate(ratios.log(), torch.zeros(1, 4), advantages, everywhere, clip=0.2)]

# %% [markdown]
# ## A iguales segundos de núcleo
#
# La ganancia se empareja por comienzo y semilla con las respuestas del modelo de partida; se remuestrean ambos.

# %%
declared(*shown["seconds"])

# %% [markdown]
# ## A iguales pasos

# %%
declared(*shown["steps"])

# %% [markdown]
# ## Lo ganado por lo andado
#
# El eje es √KL: cuánto se ha alejado la política. A igual divergencia no se premia a quien sólo fue más lejos.

# %%
Picture(RESULTS / "frontier.png", "Recompensa verdadera ganada contra √KL")

# %% [markdown]
# ## ¿Quién ordena bien los pares reservados?
#
# Junto a los métodos, la longitud sola, una sonda lineal sobre los estados del propio modelo (el techo honesto)
# y el otro juez.

# %%
declared(*shown["accuracy"])

# %% [markdown]
# ## Lo que esto no dice
#
# Los dos jueces se apoyan en MiniLM. Un modelo pequeño que ya había pasado por DPO, respuestas de 20 tokens y tres
# semillas: lo que no se separa de cero no es una diferencia.
