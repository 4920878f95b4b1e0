"""A version made again by its own code, up to the training, which tests/reproduction/test_reproduce.py does."""

import dataclasses

import pytest

from serving.bundle.module import load_module
from tasks.reproduction import remake as remake_module
from tasks.reproduction.remake import module_sha256, remake
from tests.bundles import make_tiny_bundle
from tests.reproduction.test_restore import made, versioned  # noqa: F401  # fixtures


@pytest.fixture
def never_trains(monkeypatch) -> None:
    """Make a training an error."""

    def fail(*_arguments, **_options):
        raise AssertionError("trained")

    monkeypatch.setattr(remake_module, "train_and_score", fail)


def test_data_of_other_classes_stops_before_training(origin, versioned, never_trains, tmp_path, capsys):  # noqa: F811
    spec = tmp_path / "spec.json"
    spec.write_bytes(origin.files["spec.json"])
    result = remake(dataclasses.replace(versioned.order(), spec=str(spec)), tmp_path)
    (finding,) = result["findings"]
    assert finding.startswith("the data's classes are ('bag', 'coat'), the training's ('ankle-boot', 'bag', ")
    assert "weights_sha256" not in result
    assert '"stage": "look at each image", "done": 60, "total": 60' in capsys.readouterr().out


def test_the_tensors_of_a_module_are_compared_but_for_the_temperature(tmp_path):
    first, second = (make_tiny_bundle(tmp_path / str(seed), seed=seed) / "model.pt" for seed in (1, 2))
    module = load_module(first)
    module.set_temperature(2.0)
    module.save(str(tmp_path / "warm.pt"))
    assert module_sha256(first) == module_sha256(tmp_path / "warm.pt")
    assert module_sha256(first) != module_sha256(second)
