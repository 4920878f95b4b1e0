"""A batcher's surroundings: a model that answers when the test lets it, and what is asked of it."""

import asyncio
from concurrent.futures import Executor, Future

import numpy as np

from serving.prediction import ModelError, Prediction

LIMIT = 4


class Patient(Executor):
    """An executor that runs the next call when it is told to."""

    def __init__(self) -> None:
        self.calls = []

    def submit(self, function, *arguments):
        future = Future()
        self.calls.append((future, function, arguments))
        return future

    async def run(self) -> None:
        """Run the one call that there is, and let the event loop do what follows."""
        ((future, function, arguments),) = self.calls
        self.calls.clear()
        try:
            future.set_result(function(*arguments))
        except ZeroDivisionError as error:
            future.set_exception(error)
        await turns()


class Echo:
    """A model that answers each image with its own first pixel, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[list[int]]] = []  # batches of requests of images
        self.failing: set[int] = set()
        self.is_broken = False

    def predict_each(self, requests):
        numbers = [[int(image[0, 0]) for image in images] for images in requests]
        self.asked.append(numbers)
        if self.is_broken:
            raise ZeroDivisionError("broken")
        return [ModelError(f"no {row}") if self.failing & set(row) else predict(row) for row in numbers]


class Meter:
    def __init__(self) -> None:
        self.dispatches: list[tuple[str, int, int]] = []
        self.waited: list[float] = []
        self.waiting = 0
        self.batches = 0

    def dispatched(self, reason, images, limit, queue_seconds):
        self.dispatches.append((reason, images, limit))
        self.waited += queue_seconds

    def queued(self, images):
        self.waiting = images

    def inferred(self, seconds):
        assert seconds >= 0
        self.batches += 1


def predict(numbers) -> Prediction:
    column = np.array(numbers, dtype=np.float32)[:, None]
    return Prediction(column, -column)


def images_of(*numbers):
    return [np.full((2, 2), number, dtype=np.uint8) for number in numbers]


async def turns() -> None:
    """Let the event loop do all that it has to do now."""
    for _ in range(10):
        await asyncio.sleep(0)


def ask(batcher, *numbers, **kwargs) -> asyncio.Task:
    return asyncio.create_task(batcher.predict(images_of(*numbers), **kwargs))


def answer_of(task) -> list[int]:
    found = task.result()
    np.testing.assert_array_equal(found.embeddings, -found.probabilities)
    return found.probabilities[:, 0].astype(int).tolist()
