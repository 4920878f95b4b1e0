"""The classifier around a network, and the module that is served."""

from dataclasses import replace

import pytest
import torch

from serving.bundle.module import script_module
from tasks.errors import ConfigError
from tasks.training import network
from tasks.training.network import ServedModel, adapt_to, build_classifier, projection
from tasks.training.small_cnn import whitening_filters


@pytest.fixture
def sample():
    """Return (32, 1, 28, 28) uint8."""
    return torch.randint(0, 256, (32, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_the_first_layer_is_started_from_normalised_images(spec, sample):
    classifier = build_classifier(spec)
    classifier.mean.fill_(100)
    classifier.scale.fill_(1 / 64)
    adapt_to(classifier, sample)
    expected = whitening_filters((sample.float() - 100) / 64).float()
    assert torch.equal(classifier.body.body[0].weight[:9], expected)


def test_of_many_pixels_every_so_many_images_will_do(spec, sample, monkeypatch):
    monkeypatch.setattr(network, "MOST_PATCHES", 10 * 28 * 28)  # of 32 images: every fourth
    classifier = build_classifier(spec)
    adapt_to(classifier, sample)
    assert torch.equal(classifier.body.body[0].weight[:9], whitening_filters(sample[::4].float()).float())


def test_a_network_of_torchvision_starts_as_it_is(spec, sample):
    classifier = build_classifier(replace(spec, recipe=replace(spec.recipe, architecture="squeezenet1_1")))
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    adapt_to(classifier, sample)
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert all(parameter.requires_grad for parameter in classifier.parameters())


def test_the_same_seed_and_images_give_the_same_network(spec, sample):
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        classifier = build_classifier(spec)
        adapt_to(classifier, sample)
        states.append(classifier.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_weights_for_the_small_network_are_refused_not_ignored(spec):
    recipe = replace(spec.recipe, weights_file="resnet18.pth")
    with pytest.raises(ConfigError, match=r"weights_file = 'resnet18.pth' is for networks of torchvision, and .*leave"):
        build_classifier(replace(spec, recipe=recipe))


@pytest.mark.parametrize(("channels", "size_px"), [(1, 28), (3, 33)])
def test_the_served_module_answers_as_the_eager_one(spec, channels, size_px):
    torch.manual_seed(0)
    classifier = build_classifier(replace(spec, channels=channels, size_px=size_px))
    served = ServedModel(classifier, channels, size_px).eval()
    scripted = script_module(served)
    for module in (served, scripted):
        module.set_temperature(2.0)
    batch = torch.stack([scripted.preprocess(torch.randint(0, 256, (3, 40, 50), dtype=torch.uint8)) for _ in range(3)])
    with torch.inference_mode():
        probabilities, embeddings = scripted(batch)
        expected = torch.softmax(classifier(batch)[0] / 2.0, 1)
        torch.testing.assert_close(probabilities, expected)
        torch.testing.assert_close(embeddings, served(batch)[1])


@pytest.mark.parametrize(("features", "size"), [(10, 10), (32, 32), (33, 32), (2048, 32)])
def test_an_embedding_is_small_and_keeps_distances(features, size):
    torch.manual_seed(0)
    points = torch.randn(200, features)
    embedded = points @ projection(features)
    assert embedded.shape == (200, size)
    ratio = torch.pdist(embedded).mean() / torch.pdist(points).mean()
    assert 0.9 < ratio < 1.1
