"""Architectures of torchvision by name: grey and colour, trained a step, scripted, with local initial weights."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from serving.bundle.module import load_module, script_module
from tasks.errors import ConfigError
from tasks.training import vision
from tasks.training.network import ServedModel, build_classifier


@pytest.fixture(scope="module")
def resnet():
    """The body of resnet18 and its number of features."""
    torch.manual_seed(0)
    return vision.build("resnet18", "")


@pytest.mark.parametrize(("channels", "size_px"), [(1, 28), (3, 32)], ids=["grey", "colour"])
def test_resnet18_trains_a_step_and_its_script_answers_as_it_does(spec, tmp_path, channels, size_px):
    torch.manual_seed(0)
    recipe = replace(spec.recipe, architecture="resnet18")
    classifier = build_classifier(replace(spec, channels=channels, size_px=size_px, recipe=recipe))
    batch = torch.randint(0, 256, (8, channels, size_px, size_px), dtype=torch.uint8)
    labels = torch.arange(8)
    before = [parameter.detach().clone() for parameter in classifier.parameters()]
    logits, features = classifier(batch)
    assert (logits.shape, features.shape) == ((8, 10), (8, 512))
    functional.cross_entropy(logits, labels).backward()
    torch.optim.SGD(classifier.parameters(), lr=0.1).step()
    assert all(not torch.equal(old, new) for old, new in zip(before, classifier.parameters(), strict=True))

    served = ServedModel(classifier, channels, size_px).eval()
    script_module(served).save(str(tmp_path / "model.pt"))
    scripted = load_module(tmp_path / "model.pt")
    with torch.inference_mode():
        probabilities, embeddings = served(batch)
        assert embeddings.shape == (8, 32)
        torch.testing.assert_close(scripted(batch)[0], probabilities, rtol=0, atol=1e-6)
        torch.testing.assert_close(scripted(batch)[1], embeddings, rtol=0, atol=1e-4)


def test_an_unknown_name_suggests_near_ones():
    with pytest.raises(ConfigError, match=r"training.architecture = 'resnet_18' is unknown; near: .*resnet18"):
        vision.build("resnet_18", "")
    with pytest.raises(ConfigError, match=r"'' is unknown; near: small_cnn, resnet18"):
        vision.build("", "")


def test_a_network_without_a_linear_head_is_refused():
    with pytest.raises(ConfigError, match=r"'squeezenet1_1' does not end in a linear layer: choose another"):
        vision.build("squeezenet1_1", "")


def test_initial_weights_come_from_a_file_whatever_its_classes(tmp_path, resnet):
    network, features = resnet
    state = {name: torch.full_like(value, 2) for name, value in network.state_dict().items()}
    path = tmp_path / "weights.pt"
    torch.save({**state, "fc.weight": torch.zeros(7, features), "fc.bias": torch.zeros(7)}, path)
    loaded, _ = vision.build("resnet18", str(path))
    assert loaded.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())


@pytest.mark.parametrize(
    ("write", "text"),
    [
        (lambda path: None, "cannot be read: .*No such file"),
        (lambda path: path.mkdir(), "cannot be read: .*Is a directory"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: path.write_bytes(b"not of torch"), "cannot be read"),
        (lambda path: torch.save(torch.zeros(2), path), "holds a Tensor, expected a state dict"),
        (lambda path: torch.save({"conv1.weight": torch.zeros(2)}, path), "does not fit the network"),
        (lambda path: torch.save(torch.nn.Linear(1, 1), path), "cannot be read: Weights only load failed"),
    ],
    ids=["missing", "a folder", "empty", "no torch file", "a tensor", "of another network", "a pickled module"],
)
def test_a_file_of_weights_that_does_not_do_is_told(tmp_path, write, text):
    path = tmp_path / "weights.pt"
    write(path)
    with pytest.raises(ConfigError, match=f"training.weights_file = '{path}' {text}"):
        vision.build("resnet18", str(path))


def test_torchvision_without_its_operators_has_their_schemas(resnet):
    for name in vision.BOX_OPERATORS:
        assert hasattr(torch.ops.torchvision, name)


def test_without_torchvision_there_is_still_the_small_network(monkeypatch):
    monkeypatch.setattr(vision.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"torchvision is not installed: use training.architecture = 'small_cnn'"):
        vision.import_models.__wrapped__()
