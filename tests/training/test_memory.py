"""A training that does not fit says which batch size would."""

import re
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch

from tasks.errors import TrainingError
from tasks.training import oom_killer
from tasks.training.memory import find_fitting, fits, out_of_memory
from tasks.training.oom_killer import advise, count_kills, fitting_size, read_field
from tasks.training.pixels import Rows
from tests.training.conftest import write_map
from tests.training.processes import run_trainer

SIZE_PX = 64
LIMITED = """
import resource
from tasks.training.loop import Loop
from tasks.training.oom_killer import STATUS, read_field
inner = Loop.run
def run(self):
    limit = read_field(STATUS, "VmSize") * 1024 + {room_bytes}
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    return inner(self)
Loop.run = run
"""


@pytest.fixture(scope="module")
def large(spec, tmp_path_factory):
    """A training of 240 images of 64 x 64 at once, which takes about 500 MB."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (300, 1, SIZE_PX, SIZE_PX))
    splits = np.repeat([Rows.TRAIN, Rows.VALIDATION], [240, 60])
    folder = write_map(tmp_path_factory.mktemp("large"), images, np.arange(300) % 10, splits)
    recipe = replace(spec.recipe, batch_size=240, epochs=5)
    return replace(spec, pixels=str(folder), size_px=SIZE_PX, recipe=recipe)


def test_a_batch_that_does_not_fit_has_its_size_named(large, tmp_path):
    done = run_trainer(large, tmp_path, LIMITED.format(room_bytes=250_000_000))
    assert done.returncode == TrainingError.exit_code, done.stderr
    found = re.fullmatch(
        r"out of memory with training.batch_size = 240 on cpu: training.batch_size = (\d+) fits \(.+\)",
        done.stderr.splitlines()[-1],
    )
    assert found, done.stderr
    assert 30 <= int(found[1]) < 240


@pytest.mark.parametrize(
    ("limit", "wanted", "found", "tries"),
    [
        (128, 256, 128, 4),  # the half fits, and the three sizes between do not
        (127, 256, 120, 5),
        (200, 256, 192, 4),
        (255, 256, 240, 4),
        (2, 256, 2, 8),
        (1, 256, 0, 7),
        (0, 2, 0, 0),
        (100, 3, 0, 0),
        (2, 5, 2, 2),
    ],
)
def test_the_size_is_halved_until_it_fits_and_then_refined(limit, wanted, found, tries):
    tried = []

    def is_fitting(size):
        tried.append(size)
        return size <= limit

    assert find_fitting(wanted, is_fitting) == found
    assert len(tried) == tries
    assert all(2 <= size < wanted for size in tried)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried\nto"), "CUDA out of memory. Tried"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you"), "[enforce fail] DefaultCPU"),
        (RuntimeError("could not create a primitive"), "could not create a primitive"),
        (MemoryError(), "out of memory"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ""),
        (ValueError("x"), ""),
    ],
    ids=["cuda", "cpu", "onednn", "python", "another", "another kind"],
)
def test_an_error_about_memory_is_known(error, said):
    found = out_of_memory(error)
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_an_error_about_something_else_is_not_taken_for_memory(spec):
    with pytest.raises(RuntimeError, match="too small"):
        fits(4, replace(spec, size_px=1), torch.device("cpu"))


@pytest.mark.parametrize(
    ("free_mb", "data_mb", "size"),
    [(1000, 0, 600), (1000, 100, 500), (250, 0, 0), (1, 0, 0)],
    ids=["room", "beside data", "just the process", "none"],
)
def test_what_would_fit_is_computed_from_two_peaks(free_mb, data_mb, size):
    """200 MB without images and 1 MB an image, in four fifths of what is free."""
    mb = 1_000_000
    found = fitting_size((10, 20), (210 * mb, 220 * mb), free_bytes=free_mb * mb, data_bytes=data_mb * mb)
    assert found == size


def test_the_kernel_counts_what_it_killed(tmp_path, monkeypatch):
    (tmp_path / "vmstat").write_text("pgfault 7\noom_kill 3\n")
    monkeypatch.setattr(oom_killer, "VMSTAT", tmp_path / "vmstat")
    assert count_kills() == 3
    monkeypatch.setattr(oom_killer, "VMSTAT", tmp_path / "missing")
    assert count_kills() == 0
    assert read_field(oom_killer.MEMINFO, "MemAvailable") > 0


def test_after_a_kill_a_probe_says_what_would_fit(large, tmp_path):
    """Here all of it fits, so something else must have taken the memory."""
    request = tmp_path / "request.json"
    request.write_text(large.to_json())
    assert advise(large, request) == (
        "it would fit in what is free now, so something else took the memory: start the run again"
    )


@pytest.mark.parametrize(
    ("fitting", "advice"),
    [
        ("96", "lower training.batch_size = 240; 96 would fit in what is free now"),
        ("0", "lower training.batch_size = 240, or close what takes memory"),
        (None, "lower training.batch_size = 240 (a probe of what fits failed: "),
    ],
)
def test_the_advice_follows_the_probe(large, tmp_path, monkeypatch, fitting, advice):
    def run(command, **options):
        if fitting is None:
            raise subprocess.CalledProcessError(-9, command)
        return subprocess.CompletedProcess(command, 0, stdout=f"a library's line\n{fitting}\n")

    monkeypatch.setattr(subprocess, "run", run)
    assert advise(large, tmp_path / "request.json").startswith(advice)
