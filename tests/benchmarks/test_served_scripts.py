"""The benchmarks of the server run from end to end, as short as they go; their speeds mean nothing here."""

import re
import subprocess
import sys

import pytest

from benchmarks import serving_memory
from benchmarks.served import held
from tests.conftest import ROOT

SPREAD = r"[\d.,]+ / [\d.,]+ / [\d.,]+"


def run(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def printed():
    return run("benchmarks.serving", "--seconds", "1", "--rounds", "1", "--models", "cnn", "--contenders", "evergreen",
               "bare", "--shares", "50")  # fmt: skip


def test_evergreen_is_measured_beside_the_bare_module(printed):
    assert "### CNN, 28 px grey: 242,250 parameters" in printed
    limits = re.findall(rf"^\| (batch 1|one thread|two threads) \| \d+ \| {SPREAD} \|$", printed, re.MULTILINE)
    assert limits == ["batch 1", "one thread", "two threads"]
    rows = re.findall(rf"^\| Evergreen \| {SPREAD} \| [\d.]+ \| [\d.,]+ \| [\d.,]+ \| (.*) \|$", printed, re.MULTILINE)
    assert rows == ["0", "0", "0"]  # at 1, 16 and 64 connections no error
    assert re.search(r"^\| Evergreen, 50 % \| [\d,]+ \| [\d,]+ \| [\d.,]+ \| [\d.,]+ \| ", printed, re.MULTILINE)


def test_the_goals_are_judged(printed):
    verdicts = re.findall(r"^- at (\d+) connections?: [\d.]+ of the bare .*, (?:met|missed)\)$", printed, re.MULTILINE)
    assert verdicts == ["1", "16", "64"]
    assert "left out" not in printed


def test_an_overload_is_measured():
    printed = run("benchmarks.serving_overload", "--rounds", "1", "--seconds", "1", "--times", "4")
    rows = re.findall(rf"^\| (\d+) \| {SPREAD} \| ", printed, re.MULTILINE)
    assert rows == ["80", "100", "400"]
    assert "- at 400 %: " in printed


def test_memory_and_start_are_measured(monkeypatch, capsys):
    monkeypatch.setattr(held, "LOAD", (4, 1.0))
    assert serving_memory.main(["--requests", "0", "--starts", "1"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^\| torch and the module \| 1 \| \d+ \| \d+ \|$", printed, re.MULTILINE)
    assert re.search(
        r"^- one worker: [\d.]+ times its PSS .* \(goal: under 1.3, (met|missed)\)$", printed, re.MULTILINE
    )
    assert re.search(rf"^\| `import torch` \| {SPREAD} \|$", printed, re.MULTILINE)
    assert re.search(rf"^\| Evergreen's first right answer, one worker \| {SPREAD} \|$", printed, re.MULTILINE)
    assert re.search(r"^- [\d.]+: ready$", printed, re.MULTILINE)
    assert re.search(r"^Imports of one worker, seconds, .*torch [\d.]+", printed, re.MULTILINE)
