"""An evaluation is made once for the same weights, and never taken from a folder that is damaged or half done."""

import numpy as np
import pytest

from tasks import progress
from tasks.evaluate import find_evaluation, make_evaluation
from tasks.evaluation.scores import PREDICTIONS
from tasks.settings import load_settings
from tasks.steps.key import StepKey
from tasks.steps.store import RECORD, StepFolder
from tests.conftest import ROOT
from tests.evaluation.conftest import Trained, trained  # noqa: F401  # a fixture
from tests.test_progress import Recorder


@pytest.fixture(scope="module")
def settings():
    return load_settings(ROOT / "evergreen.toml")


@pytest.fixture(scope="module")
def made(settings, trained: Trained, tmp_path_factory):  # noqa: F811
    """A complete evaluation: its folder, its bundle, its scores."""
    step = StepFolder(tmp_path_factory.mktemp("step"), StepKey("evaluate", {"weights": "w"}))
    (step.path / "left by a kill").write_text("")
    return step, *make_evaluation(settings, trained.pixels, trained.model, step)


@pytest.fixture
def recorder():
    recorder = Recorder()
    with progress.listening(recorder):
        yield recorder


def test_it_is_found_again_as_it_was_made(made, recorder):
    step, bundle, scores = made
    assert not (step.path / "left by a kill").exists()
    found_bundle, found_scores = find_evaluation(step)
    assert found_bundle == bundle
    assert found_scores.classes == scores.classes
    for name in ("ids", "labels", "probabilities"):
        assert np.array_equal(getattr(found_scores, name), getattr(scores, name)), name
    assert recorder.heard == [("say", "the model is evaluated already: its bundle and scores are reused")]


def test_that_of_other_weights_is_not_found(made):
    step, *_ = made
    assert find_evaluation(StepFolder(step.path, StepKey("evaluate", {"weights": "other"}))) is None


@pytest.mark.parametrize(
    "name",
    [
        "bundle/model.pt",
        "bundle/golden/golden.json",
        "bundle/contract.json",
        "bundle/reference.parquet",
        PREDICTIONS,
        RECORD,
    ],
)
@pytest.mark.parametrize("is_missing", [False, True], ids=["altered", "missing"])
def test_a_damaged_one_is_made_again(made, recorder, name, is_missing):
    step, *_ = made
    path = step.path / name
    content = path.read_bytes()
    path.write_bytes(content[:-2])
    if is_missing:
        path.unlink()
    try:
        assert find_evaluation(step) is None
    finally:
        path.write_bytes(content)
    sentences = [text for kind, text, *_ in recorder.heard if kind == "say"]
    assert all(f"kept in {step.path}" in text and "made again" in text for text in sentences)
    assert bool(sentences) is (name != RECORD)  # without which it was never complete
