"""Batches are a function of (spec, epoch, step): not of where the images are, who reads them, or where one begins."""

import hashlib
from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from tasks.errors import ConfigError, DataError, TrainingError
from tasks.training.feed import Feed, choose_block_steps, in_order
from tasks.training.pixels import Rows, open_pixels
from tests.training.conftest import CLASSES, write_map

CPU = torch.device("cpu")
STREAMED = {"max_resident_bytes": 0}
PLAIN = {"flip": False, "shift_px": 0}
EVERYTHING = {"shift_px": 2, "rotate_degrees": 10.0, "erase_px": 5, "brightness": 0.2, "contrast": 0.2}


@pytest.fixture
def train(pixel_map):
    return open_pixels(pixel_map, Rows.TRAIN)


@pytest.fixture
def make(train, spec):
    """A function from changes of the recipe and the execution to a feed of the 240 training images."""

    def feed(recipe=None, execution=None, pixels=train, device=CPU):
        changed = replace(
            spec,
            recipe=replace(spec.recipe, **(recipe or {})),
            execution=replace(spec.execution, **(execution or {})),
            channels=pixels.images.shape[1],
            size_px=pixels.images.shape[2],
        )
        return Feed(pixels, changed, device)

    return feed


def assert_same(found, expected):
    found, expected = list(found), list(expected)
    assert len(found) == len(expected) > 0
    for (images, labels), (other_images, other_labels) in zip(found, expected, strict=True):
        assert torch.equal(images, other_images)
        assert torch.equal(labels, other_labels)


@pytest.mark.parametrize("balance", ["none", "sampler"])
@pytest.mark.parametrize(
    ("execution", "block_steps"),
    [({}, 1), ({}, 3), ({**STREAMED, "loader_workers": 1}, 1), ({**STREAMED, "loader_workers": 3}, 2)],
    ids=["resident", "resident by three", "streamed", "streamed by two, three threads"],
)
def test_where_images_are_and_who_reads_them_changes_no_bit(make, balance, execution, block_steps):
    recipe = {**EVERYTHING, "class_balance": balance}
    feed = make(recipe, execution)
    feed.block_steps = block_steps
    for epoch in (0, 4):
        assert_same(feed.batches(epoch), make(recipe).batches(epoch))
        assert_same(feed.batches(epoch, first_step=3), islice(make(recipe).batches(epoch), 3, None))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
def test_a_gpu_gets_the_same_from_a_stream(make):
    device = torch.device("cuda")
    resident, streamed = (make(EVERYTHING, execution, device=device) for execution in ({}, STREAMED))
    assert_same(streamed.batches(1), resident.batches(1))
    assert all(images.device.type == "cuda" for images, _ in streamed.batches(1))


def test_the_last_step_ends_an_epoch(make):
    feed = make()
    assert feed.steps == 7  # of 32, of 240 images
    assert len(list(feed.batches(0))) == 7
    assert len(list(feed.batches(0, first_step=6))) == 1
    assert list(feed.batches(0, first_step=7)) == []


def test_image_ids_name_the_images_of_each_batch(make, train):
    feed = make(PLAIN)
    label_of = dict(zip(train.ids.tolist(), train.labels.tolist(), strict=True))
    seen = Counter()
    for step, (images, labels) in enumerate(feed.batches(2)):
        ids = feed.image_ids(2, step)
        assert ids == tuple(hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in images)
        assert labels.tolist() == [label_of[name.encode()] for name in ids]
        seen.update(ids)
    assert set(seen.values()) == {1}
    assert len(seen) == 7 * 32


def test_batches_are_channels_last_bytes(make, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (64, 3, 8, 8))
    pixels = open_pixels(write_map(tmp_path, images, np.arange(64) % 10, np.zeros(64)), Rows.TRAIN)
    for execution in ({}, STREAMED):
        for batch, labels in make(EVERYTHING, execution, pixels).batches(0):
            assert (batch.dtype, batch.shape) == (torch.uint8, (32, 3, 8, 8))
            assert batch.is_contiguous(memory_format=torch.channels_last)
            assert (labels.dtype, labels.shape) == (torch.int64, (32,))


@pytest.mark.parametrize(
    ("recipe", "kind", "text"),
    [
        ({"batch_size": 241}, TrainingError, "240 training images, fewer than training.batch_size = 241: lower it"),
        ({"erase_px": 28}, ConfigError, "training.erase_px = 28 leaves nothing"),
    ],
    ids=["no batch", "nothing left"],
)
def test_what_cannot_train_is_told_at_once(make, recipe, kind, text):
    with pytest.raises(kind, match=text):
        make(recipe)


def test_a_class_without_images_is_told_at_once(train, spec):
    with pytest.raises(DataError, match="no training image of 'zebra'"):
        Feed(train, replace(spec, classes=(*CLASSES, "zebra")), CPU)


@pytest.fixture
def unequal(pixel_map, tmp_path):
    """Training images of which ten are of class 0, 30 of class 1 and 60 of class 2."""
    images = np.load(pixel_map / "images.npy")[:100]
    return open_pixels(write_map(tmp_path, images, np.repeat([0, 1, 2], [10, 30, 60]), np.zeros(100)), Rows.TRAIN)


def of_three(spec, balance):
    return replace(spec, classes=CLASSES[:3], recipe=replace(spec.recipe, class_balance=balance))


def test_weights_are_inverse_frequencies_with_mean_one(unequal, spec):
    weights = Feed(unequal, of_three(spec, "weights"), CPU).class_weights
    assert weights.dtype == torch.float32
    assert torch.allclose(weights, torch.tensor([100 / 30, 100 / 90, 100 / 180]))
    assert float(weights[torch.from_numpy(unequal.labels)].mean()) == pytest.approx(1)


@pytest.mark.parametrize("balance", ["none", "sampler"])
def test_the_other_balances_weigh_nothing(unequal, spec, balance):
    assert Feed(unequal, of_three(spec, balance), CPU).class_weights is None


def test_the_sampler_draws_each_class_as_often_and_never_the_same_picture(unequal, spec):
    sampled = of_three(spec, "sampler")
    feed = Feed(unequal, replace(sampled, recipe=replace(sampled.recipe, shift_px=2, rotate_degrees=20.0)), CPU)
    assert feed.steps == 3
    labels = torch.cat([labels for epoch in range(20) for _, labels in feed.batches(epoch)])
    assert all(0.9 < share < 1.1 for share in (torch.bincount(labels) * 3 / len(labels)).tolist())
    ids = [name for step in range(3) for name in feed.image_ids(0, step)]
    assert max(Counter(ids).values()) > 3
    pictures = torch.cat([images for images, _ in feed.batches(0)]).flatten(1)
    assert len(pictures.unique(dim=0)) == len(pictures) == 96


def test_a_sample_is_spread_over_the_training_images(make, train):
    feed = make()
    assert np.array_equal(feed.sample(24).numpy(), train.images[::10])
    assert np.array_equal(feed.sample(1000).numpy(), train.images)


@pytest.mark.parametrize("batch", [7, 60, 100])
def test_in_order_gives_every_image_as_it_is(pixel_map, spec, batch):
    pixels = open_pixels(pixel_map, Rows.VALIDATION)
    parts = list(in_order(pixels, spec, CPU, batch))
    assert [len(labels) for _, labels in parts] == [len(labels) for labels in torch.arange(60).split(batch)]
    assert np.array_equal(torch.cat([images for images, _ in parts]).numpy(), pixels.images)
    assert np.array_equal(torch.cat([labels for _, labels in parts]).numpy(), pixels.labels)


@pytest.mark.parametrize(("kind", "steps"), [("cpu", 1), ("cuda", 1 << 14), ("cuda", 1)])
def test_a_gpu_takes_batches_together(kind, steps):
    assert choose_block_steps((1 << 24) // steps, torch.device(kind)) == steps
