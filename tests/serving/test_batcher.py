"""Which requests go to the model together, when, and in what order."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from serving.batcher import Batcher
from tests.serving.stage import LIMIT, answer_of, ask, images_of, turns


def test_an_idle_model_gets_a_request_at_once(batcher, executor, model, meter):
    async def scenario():
        task = ask(batcher, 7)
        await turns()
        assert len(executor.calls) == 1  # nothing was waited for, not even time
        await executor.run()
        assert answer_of(task) == [7]

    asyncio.run(scenario())
    assert model.asked == [[[7]]]
    assert meter.dispatches == [("idle", 1, LIMIT)]
    assert (meter.waiting, meter.batches, len(meter.waited)) == (0, 1, 1)


def test_what_was_read_together_goes_together(batcher, executor, model):
    async def scenario():
        tasks = [ask(batcher, number) for number in range(3)]
        await turns()
        await executor.run()
        assert [answer_of(task) for task in tasks] == [[0], [1], [2]]

    asyncio.run(scenario())
    assert model.asked == [[[0], [1], [2]]]


def test_what_comes_while_the_model_is_busy_goes_as_one_batch_when_it_is_free(batcher, executor, model, meter):
    async def scenario():
        first = ask(batcher, 0)
        await turns()
        later = []
        for number in (1, 2, 3):
            later.append(ask(batcher, number))
            await turns()
        assert len(executor.calls) == 1
        assert meter.waiting == 3
        await executor.run()
        assert first.done()
        assert not any(task.done() for task in later)
        await executor.run()
        assert [answer_of(task) for task in later] == [[1], [2], [3]]
        assert not executor.calls  # and the model is idle again
        after = ask(batcher, 4)
        await turns()
        await executor.run()
        assert answer_of(after) == [4]

    asyncio.run(scenario())
    assert model.asked == [[[0]], [[1], [2], [3]], [[4]]]
    assert meter.dispatches == [("idle", 1, LIMIT), ("freed", 3, LIMIT), ("idle", 1, LIMIT)]
    assert (meter.waiting, len(meter.waited)) == (0, 5)


def test_a_batch_is_full_at_the_limit_and_the_rest_keeps_its_order(batcher, executor, model, meter):
    async def scenario():
        tasks = [ask(batcher, number) for number in range(10)]
        await turns()
        for _ in range(3):
            await executor.run()
        assert [answer_of(task) for task in tasks] == [[number] for number in range(10)]

    asyncio.run(scenario())
    assert model.asked == [[[0], [1], [2], [3]], [[4], [5], [6], [7]], [[8], [9]]]
    assert [reason for reason, *_ in meter.dispatches] == ["full", "full", "freed"]


def test_a_large_request_takes_turns_and_gets_its_answers_in_order(batcher, executor, model, meter):
    async def scenario():
        large = ask(batcher, *range(10, 20))
        await turns()
        small = [ask(batcher, number) for number in (1, 2)]
        await turns()
        for _ in range(3):
            await executor.run()
        assert answer_of(large) == [*range(10, 20)]
        assert [answer_of(task) for task in small] == [[1], [2]]

    asyncio.run(scenario())
    assert model.asked == [[[10, 11, 12, 13]], [[14, 15, 16, 17]], [[1], [2], [18, 19]]]
    assert len(meter.waited) == 3  # a request waits once, however many batches it takes


def test_two_large_requests_alternate(batcher, executor, model):
    async def scenario():
        tasks = [ask(batcher, *range(8)), ask(batcher, *range(100, 108))]
        await turns()
        for _ in range(4):
            await executor.run()
        assert answer_of(tasks[1]) == [*range(100, 108)]

    asyncio.run(scenario())
    assert [batch[0][0] for batch in model.asked] == [0, 100, 4, 104]


def test_under_a_real_thread_everyone_gets_the_own_answer(model, meter):
    generator = np.random.default_rng(0)
    requests = [generator.integers(0, 256, size).tolist() for size in generator.integers(1, 12, 300)]

    async def ask_one(batcher, numbers):
        await asyncio.sleep(0)
        return (await batcher.predict(images_of(*numbers))).probabilities[:, 0].astype(int).tolist()

    async def scenario(executor):
        batcher = Batcher(model.predict_each, executor, limit=LIMIT, meter=meter)
        return await asyncio.gather(*(ask_one(batcher, numbers) for numbers in requests))

    with ThreadPoolExecutor(1) as executor:
        assert asyncio.run(scenario(executor)) == requests
    sizes = [sum(map(len, batch)) for batch in model.asked]
    assert sum(sizes) == sum(map(len, requests))
    assert max(sizes) == LIMIT
    assert meter.batches == len(sizes)
    assert meter.waiting == 0
