"""A training spec of the shipped settings, and a machine; neither is ever trained."""

from pathlib import Path

import pytest

from tasks.data.dataset import PixelMap
from tasks.plan import spec_of
from tasks.settings import load_settings
from tasks.training.machine import Machine
from tasks.training.spec import TrainingSpec
from tests.conftest import ROOT

PIXELS = PixelMap(Path("pixels"), "d" * 64, ("bag", "coat"), 1, 28)
MACHINE = Machine({"device": "cpu", "instructions": "AVX2", "threads": "2"}, {"torch": "2.13.0", "cuda": "none"})
LOCK = ROOT / "locks" / "cpu.lock"


@pytest.fixture
def spec() -> TrainingSpec:
    """The training of the shipped settings."""
    settings = load_settings(ROOT / "evergreen.toml")
    return spec_of(settings, settings.training, PIXELS)
