"""Threads that read: what they meet reaches the training as an error, and none of them is left behind."""

import errno
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from tasks.errors import DataError
from tasks.training import image_file
from tasks.training.augment import Augmentation
from tasks.training.feed import Feed, in_order
from tasks.training.pixels import Rows, open_pixels
from tasks.training.streamed import AHEAD, Streamed

CPU = torch.device("cpu")


@pytest.fixture
def folder(pixel_map, tmp_path):
    """A copy of the map, to damage."""
    return shutil.copytree(pixel_map, tmp_path / "map")


@pytest.fixture
def feed(folder, spec):
    """A feed that streams with three threads."""
    execution = replace(spec.execution, max_resident_bytes=0, loader_workers=3)
    return Feed(open_pixels(folder, Rows.TRAIN), replace(spec, execution=execution), CPU)


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert not readers()


def readers():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("reader")]


def shorten(folder):
    size = (folder / "images.npy").stat().st_size
    os.truncate(folder / "images.npy", size // 2)


@pytest.mark.parametrize("limit", [0, 1 << 16], ids=["large images", "small images"])
def test_a_file_that_becomes_shorter_is_told(feed, folder, monkeypatch, limit):
    monkeypatch.setattr(image_file, "READ_BYTES", limit)
    shorten(folder)
    with pytest.raises(DataError, match=r"images.npy ends at byte \d+, expected \d+ or more: build the map anew"):
        list(feed.batches(0))


def test_a_file_that_becomes_shorter_is_told_in_order_too(folder, spec):
    pixels = open_pixels(folder, Rows.VALIDATION)
    shorten(folder)
    with pytest.raises(DataError, match=r"images.npy ends at byte"):
        list(in_order(pixels, spec, CPU, 10))


def test_a_file_that_is_gone_is_told(feed, folder):
    (folder / "images.npy").unlink()
    with pytest.raises(DataError, match=r"images.npy cannot be read: .*No such file.*; run again, which builds"):
        next(feed.batches(0))


def test_a_disk_that_fails_is_told_when_its_batch_is_due(feed, monkeypatch):
    read, count = os.preadv, iter(range(1000))

    def fail_later(*arguments):
        if next(count) >= 3 * 32:  # after three batches
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(*arguments)

    monkeypatch.setattr(image_file, "READ_BYTES", 0)
    monkeypatch.setattr(os, "preadv", fail_later)
    feed.images.workers = 1
    batches = feed.batches(0)
    for _ in range(3):
        next(batches)
    with pytest.raises(DataError, match=r"images.npy cannot be read: \[Errno 5\] Input/output error; if the disk is"):
        next(batches)


def test_closing_in_the_middle_ends_the_threads(feed):
    with closing(feed.batches(0)) as batches:
        next(batches)
        assert readers()
    assert not readers()


def test_a_loop_that_fails_ends_the_threads(feed):
    with pytest.raises(ZeroDivisionError), closing(feed.batches(0)) as batches:  # noqa: PT012 - the loop is the test
        for images, _ in batches:
            assert readers()
            len(images) / 0


def test_an_augmentation_that_fails_ends_the_threads(feed, monkeypatch):
    def fail(*arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(Augmentation, "__call__", fail)
    with pytest.raises(ZeroDivisionError) as caught:
        list(feed.batches(0))
    assert caught.traceback  # it holds on to all that was open
    assert not readers()


def test_closing_does_not_wait_for_blocks_that_nobody_takes(feed, monkeypatch):
    read, shutdown, is_closing, blocks = os.preadv, ThreadPoolExecutor.shutdown, threading.Event(), []

    def wait_from_the_second_on(*arguments):
        if len(blocks) > 0:
            is_closing.wait()
        blocks.append(arguments)
        return read(*arguments)

    def tell(self, wait=True, *, cancel_futures=False):
        shutdown(self, wait=False, cancel_futures=cancel_futures)
        is_closing.set()
        shutdown(self, wait=wait)

    monkeypatch.setattr(os, "preadv", wait_from_the_second_on)
    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", tell)
    with closing(Streamed(feed.pixels, 1, CPU).read(torch.arange(20).split(4))) as arriving:
        next(arriving)
    assert len(blocks) <= 2  # the one that was taken and the one that was being read


def test_only_a_few_blocks_are_read_ahead(feed):
    """Otherwise an epoch that is larger than the memory would fill it."""
    asked = []

    def blocks():
        for start in range(0, 200, 10):
            asked.append(start)
            yield torch.arange(start, start + 10)

    with closing(feed.images.read(blocks())) as arriving:
        for taken, images in enumerate(arriving, start=1):
            assert np.array_equal(images.numpy(), feed.pixels.images[(taken - 1) * 10 : taken * 10])
            assert len(asked) <= taken + feed.images.workers + AHEAD
    assert len(asked) == taken == 20
