"""The contract's variables and flags are seen to hold before anything trains."""

import os

import pytest
import torch

from tasks.errors import TrainingError
from tasks.training import determinism
from tasks.training.determinism import check_environment, check_flags, expected_flags, flags
from tasks.training.environment import environment


@pytest.fixture
def _sealed(monkeypatch):
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in environment(2).items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("_sealed")
def test_the_contracts_variables_pass():
    check_environment(2)


@pytest.mark.usefixtures("_sealed")
@pytest.mark.parametrize("name", sorted(environment(2)))
@pytest.mark.parametrize("value", [None, "7"])
def test_another_value_does_not(monkeypatch, name, value):
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match=rf"{name} is {value!r}, expected .*: start training through"):
        check_environment(2)


@pytest.mark.usefixtures("_sealed")
def test_nor_does_a_foreign_variable(monkeypatch):
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", "AVX2")
    monkeypatch.setenv("TORCH_HOME", "/anywhere")
    with pytest.raises(TrainingError, match=r"^DNNL_MAX_CPU_ISA: set, and may change the weights, expected unset"):
        check_environment(2)


@pytest.mark.parametrize("name", sorted(expected_flags(2)))
def test_each_flag_is_checked(monkeypatch, name):
    monkeypatch.setattr(determinism, "flags", lambda: {**expected_flags(2), name: "otherwise"})
    with pytest.raises(TrainingError, match=rf"torch's {name} is 'otherwise', expected .*sitecustomize"):
        check_flags(2)


def test_what_is_checked_is_what_torch_says():
    assert flags().keys() == expected_flags(2).keys()
    assert flags()["default_dtype"] == "torch.float32"
    torch.set_default_dtype(torch.float64)
    try:
        assert flags()["default_dtype"] == "torch.float64"
    finally:
        torch.set_default_dtype(torch.float32)
