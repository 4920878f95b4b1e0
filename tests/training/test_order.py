"""The order of an epoch: every image once, or every class as often; a function of (seed, epoch)."""

from collections import Counter

import pytest
import torch
from scipy import stats

from tasks.training.order import count_repeats, draw_balanced, draw_order

CPU = torch.device("cpu")
LABELS = torch.tensor([1] * 900 + [0] * 90 + [2] * 9 + [3])  # of very different sizes, unsorted
LOWEST_P = 1e-4


def plain(seed, epoch):
    return draw_order(1000, seed=seed, epoch=epoch, device=CPU)


def balanced(seed, epoch):
    return draw_balanced(LABELS, seed=seed, epoch=epoch)


def test_an_order_has_every_image_once():
    order = plain(5, 0)
    assert torch.equal(order.images.sort().values, torch.arange(1000))
    assert order.repeats is None


@pytest.mark.parametrize("draw", [plain, balanced])
def test_an_order_belongs_to_its_seed_and_epoch(draw):
    first = draw(5, 0).images
    assert torch.equal(first, draw(5, 0).images)
    for seed, epoch in ((5, 1), (6, 0)):
        same = torch.bincount((draw(seed, epoch).images == first).long(), minlength=2)[1]
        assert same < 100  # by chance 1 of a plain order, 60 of a balanced one: the one image of class 3


def test_places_are_uniform():
    where_first = torch.stack([plain(5, epoch).images.argsort()[:10] for epoch in range(200)])
    assert stats.chisquare(torch.histc(where_first.float(), 20, 0, 1000).numpy()).pvalue > LOWEST_P


def test_each_class_comes_as_often_and_each_of_its_images():
    images = torch.cat([balanced(5, epoch).images for epoch in range(20)])
    assert stats.chisquare(torch.bincount(LABELS[images]).numpy()).pvalue > LOWEST_P
    for label in (0, 1, 2):
        members = (label == LABELS).nonzero().squeeze(1)
        counts = torch.bincount(images, minlength=len(LABELS))[members]
        assert stats.chisquare(counts.numpy()).pvalue > LOWEST_P


def test_repeats_count_what_came_before():
    images = balanced(5, 0).images
    seen: Counter[int] = Counter()
    expected = []
    for image in images.tolist():
        expected.append(seen[image])
        seen[image] += 1
    assert max(expected) > 100
    assert balanced(5, 0).repeats.tolist() == expected
    assert count_repeats(torch.tensor([7, 3, 7, 7, 3])).tolist() == [0, 0, 1, 2, 1]
