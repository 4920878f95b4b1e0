"""The scripts that train run from end to end, on three hundred real images."""

import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT

TINY = {
    "EVERGREEN_DATA__SOURCES": json.dumps(
        [{"kind": "image_folder", "location": str(ROOT / "tests" / "assets" / "fashion")}]
    ),
    "EVERGREEN_DATA__MIN_IMAGES_PER_CLASS": "10",
    "EVERGREEN_TRAINING__BATCH_SIZE": "32",
    "EVERGREEN_TRAINING__DEVICE": "cpu",
    "EVERGREEN_TRAINING__CHECKPOINT_STEPS": "20",
}


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    """The variables of a project of three hundred images, in a folder of its own."""
    root = tmp_path_factory.mktemp("benchmarks")
    shutil.copy(ROOT / "evergreen.toml", root)
    own = {"EVERGREEN_CONFIG": str(root / "evergreen.toml"), "EVERGREEN_HOME": str(root / "home")}
    return {**os.environ, **TINY, **own}


def run(variables, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_contender_trains_to_the_end(variables):
    printed = run(variables, "benchmarks.training", "--contenders", "a", "b", "c", "d", "--architectures", "small_cnn",
                  "--rounds", "0", "--pairs", "0", "--epochs", "10", "--accuracy", "0")  # fmt: skip
    rows = re.findall(r"^\| \((\w)\) .* \| (0\.\d{4}) \| ([\d,]+) \| .* \|$", printed, re.MULTILINE)
    expected = ["a", "b", "c", "d"] if importlib.util.find_spec("lightning") else ["a", "c", "d"]
    assert [key for key, _, _ in rows] == expected
    assert all(float(accuracy) > 0.3 for _, accuracy, _ in rows)  # ten classes: better than chance
    assert all(int(peak.replace(",", "")) > 50 for _, _, peak in rows)


def test_a_training_that_is_killed_gives_the_same_weights(variables):
    printed = run(variables, "benchmarks.kills", "1", "--epochs", "30")
    assert re.search(r"^\| 1 \| \d+ \| \d+ \|", printed, re.MULTILINE)
    undisturbed, killed = re.findall(r"^weights, .*: +([0-9a-f]{64})$", printed, re.MULTILINE)
    assert undisturbed == killed
    assert "weights, 1 kills" in printed


def test_the_share_of_the_peak_is_measured(variables):
    printed = run(variables, "benchmarks.device_share", "--steps", "2")
    assert re.search(r"^small_cnn, batch 32: [\d,]+ images/s$", printed, re.MULTILINE)
    assert re.search(r"GFLOP/s of [\d,.]+ in matrix products: [\d.]+% of the peak", printed)
    shares = [float(share) for share in re.findall(r"^\| \S.* \| ([\d.]+)% \|", printed, re.MULTILINE)]
    assert shares == sorted(shares, reverse=True)
    assert 50 < sum(shares) <= 100


@pytest.mark.parametrize("script", ["compiled", "pipeline", "thread_waiting"])
def test_a_script_that_takes_minutes_can_be_imported(script):
    assert callable(importlib.import_module(f"benchmarks.{script}").main)
