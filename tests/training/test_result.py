"""The weights' SHA-256 covers names, types, shapes and bytes."""

import pytest
import torch

from tasks.training.result import weights_sha256


def state() -> dict[str, torch.Tensor]:
    return {"a": torch.arange(6.0), "b": torch.zeros(2, 3, dtype=torch.int32)}


@pytest.mark.parametrize(
    "change",
    [
        {"a": torch.tensor([0.0, 1, 2, 3, 4, 5.0000005])},
        {"a": torch.arange(6.0).view(2, 3)},
        {"b": torch.zeros(2, 3, dtype=torch.float32)},
        {"b": torch.zeros(6, dtype=torch.int32)},
        {"c": torch.zeros(0)},
    ],
    ids=["a bit", "a shape", "a type", "a flat shape", "one more"],
)
def test_it_changes_with(change):
    assert weights_sha256({**state(), **change}) != weights_sha256(state())


def test_it_changes_with_a_name():
    assert weights_sha256({"z" + name: value for name, value in state().items()}) != weights_sha256(state())


def test_it_depends_on_neither_order_nor_strides():
    turned = {"b": state()["b"], "a": torch.stack([torch.arange(6.0), torch.ones(6)], 1)[:, 0]}
    assert not turned["a"].is_contiguous()
    assert weights_sha256(turned) == weights_sha256(state())
