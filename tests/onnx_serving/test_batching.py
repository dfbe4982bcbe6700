"""The queue: bounded, fair, and a batch that fails hurts only its own requests."""

import asyncio
import threading
from dataclasses import dataclass

import pytest

from projects.onnx_serving.server.batching import Batcher, OverloadedError


@dataclass(frozen=True)
class Item:
    value: int
    tokens: int = 1
    rows: int = 1


class Model:
    """Doubles values; waits at a gate, notes its batches, and fails on the value 13."""

    def __init__(self):
        self.gate, self.batches = threading.Event(), []

    def run(self, batch):
        self.gate.wait(10)
        self.batches.append([item.value for item in batch])
        if 13 in self.batches[-1]:
            raise ValueError("thirteen")
        return [2 * item.value for item in batch]


def batcher(model, **options):
    return Batcher(model.run, **{"rows": 4, "budget": 100, "waiting": 8, **options})


async def queued(batching, values, **options):
    """Submit in order; the first one is computed at once and holds the model until the gate opens."""
    jobs = []
    for value in values:
        jobs.append(asyncio.create_task(batching.submit(Item(value, **options))))
        await asyncio.sleep(0.01)
    return jobs


def test_what_waits_goes_together_and_in_order():
    async def main():
        model = Model()
        async with batcher(model) as batching:
            jobs = await queued(batching, range(7))
            model.gate.set()
            assert await asyncio.gather(*jobs) == [0, 2, 4, 6, 8, 10, 12]
        assert model.batches == [[0], [1, 2, 3, 4], [5, 6]]

    asyncio.run(main())


def test_the_budget_counts_padded_tokens():
    async def main():
        model = Model()
        async with batcher(model, budget=60) as batching:
            jobs = await queued(batching, range(5), tokens=30)
            model.gate.set()
            await asyncio.gather(*jobs)
        assert model.batches == [[0], [1, 2], [3, 4]]

    asyncio.run(main())


def test_an_item_over_the_budget_goes_alone():
    async def main():
        model = Model()
        model.gate.set()
        async with batcher(model, budget=10) as batching:
            assert await batching.submit(Item(4, tokens=1000)) == 8

    asyncio.run(main())


def test_a_full_queue_refuses_and_recovers():
    async def main():
        model = Model()
        async with batcher(model, waiting=3) as batching:
            jobs = await queued(batching, range(4))
            assert batching.depth == 3
            with pytest.raises(OverloadedError) as caught:
                await batching.submit(Item(9))
            assert caught.value.retry_after >= 1
            model.gate.set()
            await asyncio.gather(*jobs)
            assert await batching.submit(Item(9)) == 18

    asyncio.run(main())


def test_a_failing_batch_hurts_only_its_own_request():
    async def main():
        model = Model()
        async with batcher(model) as batching:
            jobs = await queued(batching, [0, 1, 13, 3])
            model.gate.set()
            found = await asyncio.gather(*jobs, return_exceptions=True)
        assert [found[i] for i in (0, 1, 3)] == [0, 2, 6] and isinstance(found[2], ValueError)

    asyncio.run(main())


def test_who_leaves_frees_the_place_and_is_not_computed():
    async def main():
        model = Model()
        async with batcher(model, waiting=2) as batching:
            jobs = await queued(batching, range(3))
            jobs[1].cancel()
            await asyncio.sleep(0.01)
            assert batching.depth == 1
            jobs += await queued(batching, [7])
            model.gate.set()
            found = await asyncio.gather(*jobs, return_exceptions=True)
        assert isinstance(found[1], asyncio.CancelledError) and [found[i] for i in (0, 2, 3)] == [0, 4, 14]
        assert 1 not in {value for batch in model.batches for value in batch}

    asyncio.run(main())


def test_leaving_drains():
    async def main():
        model = Model()
        async with batcher(model) as batching:
            jobs = await queued(batching, range(3))
            asyncio.get_running_loop().call_later(0.05, model.gate.set)
        assert [job.result() for job in jobs] == [0, 2, 4]
        with pytest.raises(OverloadedError):
            await batching.submit(Item(1))

    asyncio.run(main())


def test_the_model_does_not_run_on_the_event_loop():
    async def main():
        seen = []
        async with Batcher(
            lambda batch: seen.append(threading.get_ident()) or [0], rows=1, budget=1, waiting=1
        ) as batching:
            await batching.submit(Item(1))
        assert seen and seen[0] != threading.get_ident()

    asyncio.run(main())
