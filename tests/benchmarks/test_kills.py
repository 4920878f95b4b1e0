"""The benchmark of kills says that the weights differ where they do."""

from types import SimpleNamespace

import pytest

from benchmarks import kills
from benchmarks.kills import Attempt


def model(weights):
    return SimpleNamespace(weights_sha256=weights, architecture="small_cnn", seed=1, seconds=3.0)


def attempts(out):
    first = Attempt(out, target=10, step=12, is_killed=True)
    late = Attempt(out, target=90, step=99, resumed_step=10, checkpoint_sha256="c" * 64)
    return [first, late, Attempt(out, resumed_step=99)]


@pytest.mark.parametrize(("weights", "code"), [("a" * 64, 0), ("b" * 64, 1)])
def test_the_digests_decide(monkeypatch, capsys, tmp_path, weights, code):
    spec = SimpleNamespace(execution=None)
    monkeypatch.setattr(kills, "load_settings", lambda: None)
    monkeypatch.setattr(kills, "prepare_pixels", lambda _: None)
    monkeypatch.setattr(kills, "spec_of", lambda *_: spec)
    monkeypatch.setattr(kills, "train_whole", lambda *_: (model("a" * 64), 100))
    monkeypatch.setattr(kills, "train_killed", lambda *_: (model(weights), attempts(tmp_path)))
    assert kills.main(["2"]) == code
    printed = capsys.readouterr().out
    assert f"| 1 | 12 | 10 | {'c' * 64} |" in printed
    assert "| 2 |" not in printed  # the second came too late
    assert "weights, 1 kills" in printed
    assert ("the same bits" in printed) is (code == 0)


def test_an_attempt_is_killed_once_from_its_step_on(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(kills, "kill_training", lambda: asked.append(True) or True)
    attempt = Attempt(tmp_path, target=10)
    for step in (1, 9, 15, 16):
        attempt.take({"event": "step", "step": step})
    assert (attempt.is_killed, attempt.step, len(asked)) == (True, 16, 1)


def test_an_attempt_knows_the_checkpoint_that_it_began_with(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "000000040.checkpoint").write_bytes(b"d" * 64 + b"\ncontent")
    attempt = Attempt(tmp_path)
    attempt.take({"event": "resumed", "step": 40, "steps": 100})
    assert (attempt.resumed_step, attempt.checkpoint_sha256) == (40, "d" * 64)
