"""What costs no compute, and whose failure is whose."""

import asyncio
import time

import pytest

from serving.errors import DeadlinePassedError
from serving.prediction import ModelError
from tests.serving.stage import answer_of, ask, images_of, turns


def test_a_request_whose_time_is_over_costs_no_compute(batcher, executor, model, meter):
    async def scenario():
        first = ask(batcher, 0)
        await turns()
        late = ask(batcher, 1, 2, deadline=time.monotonic() + 0.005)
        patient = ask(batcher, 3, deadline=time.monotonic() + 3600)
        with pytest.raises(DeadlinePassedError, match="the time that the request had is over"):
            await late  # told at its deadline, though the model is still busy
        assert not first.done()
        await executor.run()
        await executor.run()
        assert answer_of(patient) == [3]

    asyncio.run(scenario())
    assert model.asked == [[[0]], [[3]]]
    assert meter.waiting == 0


def test_a_deadline_that_passed_already_never_reaches_the_model(batcher, executor, model):
    async def scenario():
        with pytest.raises(DeadlinePassedError):
            await batcher.predict(images_of(1), deadline=time.monotonic() - 1)
        assert not executor.calls

    asyncio.run(scenario())
    assert model.asked == []


def test_an_answer_that_comes_too_late_is_none(batcher, executor):
    async def scenario():
        late = ask(batcher, 1, deadline=time.monotonic() + 0.005)
        other = ask(batcher, 2)
        await turns()
        with pytest.raises(DeadlinePassedError):
            await late
        await executor.run()
        assert answer_of(other) == [2]

    asyncio.run(scenario())


def test_a_client_that_left_costs_no_compute(batcher, executor, model, meter):
    async def scenario():
        first = ask(batcher, 0)
        await turns()
        gone, stays = ask(batcher, 1, 2), ask(batcher, 3)
        await turns()
        gone.cancel()
        await turns()
        await executor.run()
        await executor.run()
        assert (answer_of(first), answer_of(stays)) == ([0], [3])
        assert gone.cancelled()

    asyncio.run(scenario())
    assert model.asked == [[[0]], [[3]]]
    assert meter.waiting == 0


def test_the_rest_of_a_large_request_whose_client_left_is_not_computed(batcher, executor, model, meter):
    async def scenario():
        large = ask(batcher, *range(100))
        await turns()
        large.cancel()
        await turns()
        await executor.run()
        assert not executor.calls
        after = ask(batcher, 7)
        await turns()
        await executor.run()
        assert answer_of(after) == [7]

    asyncio.run(scenario())
    assert model.asked == [[[0, 1, 2, 3]], [[7]]]
    assert meter.waiting == 0


def test_a_request_that_left_before_the_model_was_asked_leaves_it_idle(batcher, executor, model):
    async def scenario():
        gone = ask(batcher, 1)
        await asyncio.sleep(0)
        gone.cancel()
        await turns()
        assert not executor.calls
        after = ask(batcher, 2)
        await turns()
        await executor.run()
        assert answer_of(after) == [2]

    asyncio.run(scenario())
    assert model.asked == [[[2]]]


def test_one_requests_failure_is_nobody_elses(batcher, executor, model):
    model.failing = {2}

    async def scenario():
        tasks = [ask(batcher, number) for number in (1, 2, 3)]
        await turns()
        await executor.run()
        with pytest.raises(ModelError, match=r"no \[2\]"):
            await tasks[1]
        assert [answer_of(tasks[0]), answer_of(tasks[2])] == [[1], [3]]

    asyncio.run(scenario())


def test_a_large_request_that_fails_in_one_part_ends_there(batcher, executor, model):
    model.failing = {2}

    async def scenario():
        large = ask(batcher, *range(10))
        await turns()
        await executor.run()
        with pytest.raises(ModelError):
            await large
        assert not executor.calls

    asyncio.run(scenario())
    assert model.asked == [[[0, 1, 2, 3]]]


def test_after_a_call_that_failed_as_a_whole_the_next_batch_goes(batcher, executor, model):
    async def scenario():
        model.is_broken = True
        tasks = [ask(batcher, 1), ask(batcher, 2)]
        await turns()
        waiting = ask(batcher, 3)
        await turns()
        await executor.run()
        for task in tasks:
            with pytest.raises(ModelError, match="the batch failed: ZeroDivisionError"):
                await task
        model.is_broken = False
        await executor.run()
        assert answer_of(waiting) == [3]

    asyncio.run(scenario())
