"""Initial weights from a file: what fits is loaded, what does not is named, another network's file is refused."""

import pytest
import torch
from torch import nn

from tasks.errors import ConfigError
from tasks.training.initial_weights import load_weights


@pytest.fixture
def network():
    """Return 40 + 5 numbers, batch normalisation, and 15 + 3 numbers."""
    return nn.Sequential(nn.Linear(8, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))


def save(state, path):
    torch.save(state, path)
    return path


def test_all_of_it_is_loaded_and_the_rest_of_the_file_is_left(network, tmp_path):
    state = {name: torch.full_like(value, 2) for name, value in network.state_dict().items()}
    del state["1.num_batches_tracked"]  # as in old files
    assert load_weights(network, save({**state, "fc.weight": torch.ones(2)}, tmp_path / "weights.pt")) == ()
    assert all((value == 2).all() for name, value in network.state_dict().items() if name != "1.num_batches_tracked")


def test_what_does_not_fit_is_named_and_stays(network, tmp_path):
    state = {name: torch.full_like(value, 2) for name, value in network.state_dict().items()}
    state["2.weight"] = torch.full((4, 5), 2.0)
    state["2.bias"] = "two"
    before = network[2].weight.clone()
    assert load_weights(network, save(state, tmp_path / "weights.pt")) == ("2.weight", "2.bias")
    assert torch.equal(network[2].weight, before)
    assert (network[0].weight == 2).all()


def test_half_precision_is_widened(network, tmp_path):
    state = {name: torch.full_like(value, 0.5).half() for name, value in network.state_dict().items()}
    load_weights(network, save(state, tmp_path / "weights.pt"))
    assert network[0].weight.dtype == torch.float32
    assert (network[0].weight == 0.5).all()


def test_names_of_published_densenets_are_understood(tmp_path):
    network = nn.ModuleDict({"denselayer1": nn.ModuleDict({"norm1": nn.BatchNorm2d(2)})})
    state = {name.replace("norm1", "norm.1"): value + 3 for name, value in network.state_dict().items()}
    assert load_weights(network, save(state, tmp_path / "weights.pt")) == ()
    assert (network["denselayer1"]["norm1"].weight == 4).all()


@pytest.mark.parametrize("prefix", ["body.network.", "body.network.network."])
def test_weights_of_an_earlier_training_are_understood(network, tmp_path, prefix):
    state = {prefix + name: torch.full_like(value, 2) for name, value in network.state_dict().items()}
    assert load_weights(network, save({**state, "head.bias": torch.zeros(3)}, tmp_path / "weights.pt")) == ()
    assert (network[2].weight == 2).all()


@pytest.mark.parametrize(
    ("write", "text"),
    [
        (lambda path: None, "cannot be read: .*No such file"),
        (lambda path: path.mkdir(), "cannot be read: .*Is a directory"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: path.write_bytes(b"not of torch"), "cannot be read"),
        (lambda path: torch.save(nn.Linear(1, 1), path), "cannot be read: Weights only load failed"),
        (lambda path: torch.save(torch.zeros(2), path), "holds a Tensor, expected a state dict"),
        (lambda path: torch.save({1: torch.zeros(2)}, path), "holds a dict, expected a state dict"),
        (
            lambda path: torch.save({"2.weight": torch.zeros(3, 5)}, path),
            r"does not fit the network: 1 of its 8 tensors .*; "
            r"0.weight is \(5, 8\) in the network and missing in the file; choose the architecture",
        ),
        (lambda path: torch.save({"0.weight": torch.zeros(2)}, path), r".*0.weight is \(5, 8\) .* and \(2,\) in the"),
        (lambda path: torch.save({"state_dict": {}}, path), "does not fit the network: 0 of its 8 tensors"),
    ],
    ids=[
        "missing",
        "a folder",
        "empty",
        "no torch file",
        "a pickled module",
        "a tensor",
        "no names",
        "the least of it",
        "another shape",
        "a checkpoint around it",
    ],
)
def test_a_file_that_does_not_do_is_told(network, tmp_path, write, text):
    path = tmp_path / "weights.pt"
    write(path)
    with pytest.raises(ConfigError, match=f"training.weights_file = '{path}' {text}"):
        load_weights(network, path)
