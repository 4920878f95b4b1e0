"""The built-in network: any size, and a first layer that whitens the images it is shown."""

import pytest
import torch

from tasks.training import small_cnn
from tasks.training.small_cnn import SmallCnn, whitening_filters


@pytest.fixture
def images():
    """Return (64, 1, 12, 12) float32, smooth, so that neighbours are alike."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(64, 1, 14, 14, generator=generator)
    return torch.nn.functional.avg_pool2d(noise, 3, stride=1) * 3


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 28, 28), (3, 28, 28), (1, 4, 4), (3, 33, 57)])
def test_it_takes_images_of_any_size(channels, height, width):
    network = SmallCnn(channels)
    assert network(torch.zeros(2, channels, height, width)).shape == (2, network.features)


def test_filters_answer_with_variance_one_and_independently(images, monkeypatch):
    monkeypatch.setattr(small_cnn, "WHITENING_FLOOR", 0.0)
    filters = whitening_filters(images)
    assert (filters.shape, filters.dtype) == ((9, 1, 3, 3), torch.float64)
    answers = torch.nn.functional.conv2d(images.double(), filters, padding=1).transpose(0, 1).flatten(1)  # (9, n)
    torch.testing.assert_close(answers @ answers.t() / answers.shape[1], torch.eye(9, dtype=torch.float64))


def test_the_most_varied_pattern_comes_first(images):
    lengths = whitening_filters(images).flatten(1).norm(dim=1)
    assert (lengths.diff() > 0).all()  # a filter is long where its pattern is rare
    first = whitening_filters(images)[0]
    assert (first > 0).all() or (first < 0).all()  # of smooth images it is brightness


def test_chunks_change_nothing(images, monkeypatch):
    whole = whitening_filters(images)
    monkeypatch.setattr(small_cnn, "PATCHES_AT_ONCE", 3 * 12 * 12)
    torch.testing.assert_close(whitening_filters(images).abs(), whole.abs())


def test_flat_images_give_finite_filters():
    assert whitening_filters(torch.zeros(4, 3, 8, 8)).isfinite().all()


@pytest.mark.parametrize(("channels", "pairs"), [(1, 9), (3, 12)])
def test_the_first_layer_starts_in_pairs_and_is_frozen(images, channels, pairs):
    network = SmallCnn(channels)
    shown = images.expand(-1, channels, -1, -1) + torch.randn(64, channels, 12, 12)
    network.adapt_to(shown)
    weight = network.body[0].weight
    assert torch.equal(weight[:pairs], whitening_filters(shown)[:pairs].float())
    assert torch.equal(weight[pairs:], -weight[:pairs])
    assert [name for name, parameter in network.named_parameters() if not parameter.requires_grad] == ["body.0.weight"]


def test_a_step_trains_all_the_rest(images):
    network = SmallCnn(1)
    network.adapt_to(images)
    network(images).sum().backward()
    assert network.body[0].weight.grad is None
    assert all(parameter.grad.any() for parameter in network.parameters() if parameter.requires_grad)
