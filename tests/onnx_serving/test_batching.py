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
    """Doubles values; says that it was entered, waits at a gate, notes its batches, and fails on the value 13."""

    def __init__(self):
        self.entered, self.gate, self.batches = threading.Event(), threading.Event(), []

    def run(self, batch):
        self.entered.set()
        assert self.gate.wait(10)
        self.batches.append([item.value for item in batch])
        if 13 in self.batches[-1]:
            raise ValueError("thirteen")
        return [2 * item.value for item in batch]


def batcher(model, **options):
    return Batcher(model.run, **{"rows": 4, "budget": 100, "waiting": 8, **options})


def finished(main):
    """Run to the end, or fail where a request would wait for ever."""
    return asyncio.run(asyncio.wait_for(main(), 20))


async def running(batching, model, value, **options):
    """Submit one and return when the model computes it: it holds the model until the gate opens."""
    model.entered.clear()
    job = asyncio.create_task(batching.submit(Item(value, **options)))
    assert await asyncio.to_thread(model.entered.wait, 10)
    return job


async def waiting(batching, values, **options):
    """Submit in order; each has its place in the queue before the next one comes."""
    jobs = []
    for value in values:
        places = batching.depth + 1
        jobs.append(asyncio.create_task(batching.submit(Item(value, **options))))
        while batching.depth < places:
            await asyncio.sleep(0)  # no time passes: the task has its turn
    return jobs


async def queued(batching, model, values, **options):
    """The first one is computed and holds the model; the others wait in order."""
    first, *rest = values
    return [await running(batching, model, first, **options), *await waiting(batching, rest, **options)]


def test_what_waits_goes_together_and_in_order():
    async def main():
        model = Model()
        async with batcher(model) as batching:
            jobs = await queued(batching, model, range(7))
            model.gate.set()
            assert await asyncio.gather(*jobs) == [0, 2, 4, 6, 8, 10, 12]
        assert model.batches == [[0], [1, 2, 3, 4], [5, 6]]

    finished(main)


def test_the_budget_counts_padded_tokens():
    async def main():
        model = Model()
        async with batcher(model, budget=60) as batching:
            jobs = await queued(batching, model, range(5), tokens=30)
            model.gate.set()
            await asyncio.gather(*jobs)
        assert model.batches == [[0], [1, 2], [3, 4]]

    finished(main)


def test_an_item_over_the_budget_goes_alone():
    async def main():
        model = Model()
        model.gate.set()
        async with batcher(model, budget=10) as batching:
            assert await batching.submit(Item(4, tokens=1000)) == 8

    finished(main)


def test_a_full_queue_refuses_and_recovers():
    async def main():
        model = Model()
        async with batcher(model, waiting=3) as batching:
            jobs = await queued(batching, model, range(4))
            assert batching.depth == 3
            with pytest.raises(OverloadedError) as caught:
                await batching.submit(Item(9))
            assert caught.value.retry_after >= 1
            model.gate.set()
            await asyncio.gather(*jobs)
            assert await batching.submit(Item(9)) == 18

    finished(main)


def test_a_failing_batch_hurts_only_its_own_request():
    async def main():
        model = Model()
        async with batcher(model) as batching:
            jobs = await queued(batching, model, [0, 1, 13, 3])
            model.gate.set()
            found = await asyncio.gather(*jobs, return_exceptions=True)
        assert [found[i] for i in (0, 1, 3)] == [0, 2, 6] and isinstance(found[2], ValueError)

    finished(main)


def test_who_leaves_frees_the_place_and_is_not_computed():
    async def main():
        model = Model()
        async with batcher(model, waiting=2) as batching:
            jobs = await queued(batching, model, range(3))
            jobs[1].cancel()
            await asyncio.wait([jobs[1]])
            assert batching.depth == 1
            jobs += await waiting(batching, [7])
            model.gate.set()
            found = await asyncio.gather(*jobs, return_exceptions=True)
        assert isinstance(found[1], asyncio.CancelledError) and [found[i] for i in (0, 2, 3)] == [0, 4, 14]
        assert 1 not in {value for batch in model.batches for value in batch}

    finished(main)


def test_leaving_drains():
    async def main():
        model = Model()
        async with batcher(model) as batching:
            jobs = await queued(batching, model, range(3))
            asyncio.get_running_loop().call_soon(model.gate.set)  # runs once the block below waits for the rest
        assert [job.result() for job in jobs] == [0, 2, 4]
        with pytest.raises(OverloadedError):
            await batching.submit(Item(1))

    finished(main)


def test_the_model_does_not_run_on_the_event_loop():
    async def main():
        seen = []
        async with Batcher(
            lambda batch: seen.append(threading.get_ident()) or [0], rows=1, budget=1, waiting=1
        ) as batching:
            await batching.submit(Item(1))
        assert seen and seen[0] != threading.get_ident()

    finished(main)


@pytest.mark.parametrize("value", [0, 13])
def test_who_leaves_a_running_batch_takes_nobody_along(value):
    """Three requests are computed together and the first one's client leaves: the others get theirs, or their error."""

    async def main():
        model = Model()
        async with batcher(model) as batching:
            first = await running(batching, model, 5)
            jobs = await waiting(batching, [1, value, 3])
            model.entered.clear()
            gate, model.gate = model.gate, threading.Event()
            gate.set()
            assert await first == 10
            assert await asyncio.to_thread(model.entered.wait, 10)  # the three are at the gate now
            jobs[0].cancel()
            await asyncio.wait([jobs[0]])
            model.gate.set()
            found = await asyncio.gather(*jobs, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError) and found[2] == 6
        assert found[1] == 0 if value == 0 else isinstance(found[1], ValueError)

    finished(main)


@pytest.mark.parametrize("error", [OSError("no space left"), asyncio.CancelledError("no space left")])
def test_an_observer_that_fails_costs_no_request(caplog, error):
    def observe(_):
        raise error

    async def main():
        model = Model()
        async with batcher(model, observe=observe) as batching:
            jobs = await queued(batching, model, range(3))
            model.gate.set()
            assert await asyncio.gather(*jobs) == [0, 2, 4]
            assert await batching.submit(Item(4)) == 8

    finished(main)
    assert "not observed" in caplog.text and "no space left" in caplog.text


@pytest.mark.parametrize("returned", [[], [1, 2], [1, 2, 3, 4, 5, 6, 7], None])
def test_a_wrong_count_of_results_fails_the_requests_concerned_and_the_loop_goes_on(returned):
    async def main():
        model = Model()
        right = model.run
        model.run = lambda batch: right(batch) and (returned if batch[0].value > 50 else [7])
        async with batcher(model) as batching:
            first = await running(batching, model, 1)
            jobs = await waiting(batching, [51, 52, 53])
            model.gate.set()
            found = await asyncio.gather(first, *jobs, return_exceptions=True)
            assert await batching.submit(Item(2)) == 7
        assert found[0] == 7
        assert [type(error) for error in found[1:]] == [TypeError if returned is None else RuntimeError] * 3

    finished(main)


@pytest.mark.parametrize(
    "error", [StopIteration(), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()]
)
def test_whatever_a_model_raises_reaches_its_request_and_the_loop_goes_on(error):
    def run(batch):
        if batch[0].value == 13:
            raise error
        return [0] * len(batch)

    async def main():
        async with Batcher(run, rows=4, budget=100, waiting=8) as batching:
            with pytest.raises(RuntimeError, match=type(error).__name__):
                await batching.submit(Item(13))
            assert await batching.submit(Item(1)) == 0

    finished(main)


def test_an_item_that_cannot_say_its_size_is_its_callers_error():
    class Sizeless:
        rows = 1

        @property
        def tokens(self):
            raise ValueError("no windows")

    async def main():
        model = Model()
        model.gate.set()
        async with batcher(model) as batching:
            with pytest.raises(ValueError, match="no windows"):
                await batching.submit(Sizeless())
            assert await batching.submit(Item(1)) == 2

    finished(main)
