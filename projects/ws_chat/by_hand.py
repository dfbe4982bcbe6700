# %% [markdown]
# # Un chat por WebSockets: la idea, y lo medido
#
# **Pregunta.** ¿Se mantiene entera una conversación cuando se cortan líneas y mueren servidores, y se detiene el modelo
# cuando se le dice?
#
# Las primeras celdas ejecutan la idea misma, sin red y con un modelo de guion: cambie los números y mire qué pasa. Lo
# demás se lee de `projects/ws_chat/results/`; `make results-ws_chat` y `make bench-ws_chat` rehacen esos ficheros,
# `make notebook-ws_chat` este cuaderno.
#
# *English summary: numbered events, replay after a cut line, Stop and fair turns, run here with a scripted model; then
# every measured table.*

# %%
"""The idea of ws_chat by hand: the first cells of results/notebook.ipynb."""

import asyncio
import random
import sys
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from projects.ws_chat.backends.scripted import Scripted
from projects.ws_chat.hub import Hub
from projects.ws_chat.measure.client import Shown
from projects.ws_chat.measure.kept import Kept
from projects.ws_chat.moderation import Moderated, Rules
from projects.ws_chat.turns import FairQueue


def say(text: str) -> None:
    """A line below the cell; whoever only imports this module is told nothing."""
    if "ipykernel" in sys.modules:
        sys.stdout.write(f"{text}\n")


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """A coroutine's result; the notebook's own loop is busy with the notebook."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


# %% [markdown]
# ## Una línea que se corta no pierde nada
#
# Una página mira siempre; otra pierde su línea en momentos al azar y, al volver, dice hasta qué número había visto.
# Cambie la semilla, o cuántas veces se corta.

# %%
CUTS, SEED = 12, 1


async def cut_lines() -> str:
    """Two pages of one conversation; one is cut again and again."""
    source, hub = random.Random(SEED), Hub(Kept(), Scripted(seconds=0.002), Rules(()))
    steady, cut, back = Shown(), Shown(), []

    def look(frame: Any) -> None:
        steady.take(frame.model_dump(mode="json"))

    def blink(frame: Any) -> None:
        cut.take(frame.model_dump(mode="json"))

    await hub.subscribe("ana", "conversation", 0, look)
    await hub.message("ana", "conversation", "message-1", " ".join(f"palabra{n}" for n in range(80)))
    for _ in range(CUTS):
        await hub.subscribe("ana", "conversation", cut.seq, blink)
        await asyncio.sleep(source.random() * 0.01)
        hub.unsubscribe("conversation", blink)
        before = cut.seq
        await asyncio.sleep(source.random() * 0.01)
        back.append(steady.seq - before)
    await hub.subscribe("ana", "conversation", cut.seq, blink)
    while not steady.done or cut.seq < steady.seq:
        await asyncio.sleep(0.01)
    await hub.close()
    same = cut.messages == steady.messages
    return f"eventos que faltaban al volver: {back}\n¿iguales al final? {same}; desordenados: {cut.faults}"


say(run(cut_lines()))

# %% [markdown]
# ## Parar detiene al que calcula, no al que muestra

# %%


async def stop() -> str:
    """The counter of the model before and long after Stop."""
    backend = Scripted(seconds=0.005)
    hub, shown = Hub(Kept(), backend, Rules(())), Shown()
    await hub.subscribe("ana", "conversation", 0, lambda frame: shown.take(frame.model_dump(mode="json")))
    await hub.message("ana", "conversation", "message-1", " ".join(["palabra"] * 500))
    await asyncio.sleep(0.1)
    await hub.stop("ana", "conversation")
    before = backend.computed
    await asyncio.sleep(0.5)
    await hub.close()
    return f"calculados al parar: {before}; medio segundo después: {backend.computed} de 500"


say(run(stop()))

# %% [markdown]
# ## Quién es el siguiente
#
# Quien menos respuestas recibió hace poco: quien pide diez veces no hace esperar diez veces a los demás. Cambie
# quién pide cuánto.

# %%
queue: FairQueue[str] = FairQueue(100, 100)
for user, count in (("ana", 5), ("bob", 2), ("eva", 1)):
    for number in range(count):
        queue.push(user, f"{user}-{number}")
say(" → ".join(queue.in_order()))

# %% [markdown]
# ## Una palabra partida entre tokens
#
# Lo que podría ser el principio de una frase vedada se retiene; lo demás sale en cuanto llega.

# %%
stream = Moderated(Rules(("secret word",)))
for piece in ["The se", "cond ", "sec", "\u200bret", " w", "0rd", " is…"]:
    say(f"{piece!r:12} → {stream.push(piece)!r}")
say(f"{'end':12} → {stream.finish()!r}, stopped: {stream.stopped}")
