"""The verb "release" without a flow around it: what it asks the controller for, and what it compares."""

import datetime
import logging

import numpy as np
import pytest

from tasks import release
from tasks.data.dataset import Split
from tasks.data.pixels import PixelArrays
from tasks.errors import ReleaseError
from tasks.evaluate import Champion
from tasks.evaluation.scores import Scores
from tasks.registry.record import NO_CHAMPION, ModelVersion
from tasks.registry.registry import Registry
from tasks.registry.stages import Stage
from tasks.rollout.status import Outcome
from tests.rollout.registering import register_like

PROBABILITIES = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]], dtype=np.float32)
TOLERANCE = 0.01  # not the settings' limit, which is of the next bundle


@pytest.fixture
def champion():
    """Version 4, whose scores are PROBABILITIES."""
    now = datetime.datetime.now(datetime.UTC)
    version = ModelVersion("shoes", 4, "d" * 64, "r", Stage.PRODUCTION, ("champion",), {}, "", now)
    labels = np.array(["bag", "coat", "coat", "bag"])
    scores = Scores(np.array(list("abcd")), labels, ("bag", "coat"), PROBABILITIES, Split.TEST)
    return Champion(version, scores, None, "digest", TOLERANCE)


@pytest.fixture
def check(project, champion, monkeypatch):
    """Compare what the router is said to answer with the champion's scores."""
    ids, statistics = np.array(list("abcd"), dtype="S64"), np.zeros(4, dtype=[])
    arrays = PixelArrays(np.zeros((4, 1, 2, 2), np.uint8), np.array([0, 1, 1, 0]), ids, statistics)
    monkeypatch.setattr(release, "open_pixels", lambda *_: arrays)

    def compare(answers, *versions):
        monkeypatch.setattr(release, "predict_over_http", lambda *_, **__: (answers, set(versions)))
        return release.check_served.fn(project, champion)

    return compare


def test_the_champions_own_answers_within_its_bundles_tolerance_are_equal(check, project):
    assert project.gates.max_prediction_error < 0.9 * TOLERANCE, "the settings' limit would refuse these"
    done = check(PROBABILITIES + np.float32(0.9 * TOLERANCE), "4")
    assert (done.equal_classes, done.images, done.tolerance, done.version) == (4, 4, TOLERANCE, "4")


@pytest.mark.parametrize(
    ("answers", "versions", "says"),
    [
        (PROBABILITIES, ["3"], r"than version 4, the champion.* 4 of 4 classes equal.* version 3 answered"),
        (PROBABILITIES, ["4", "3"], "version 3, 4 answered"),
        (PROBABILITIES + np.float32(1.1 * TOLERANCE), ["4"], r"up to 0.011 \(allowed 0.01\)"),
        (PROBABILITIES[:, ::-1], ["4"], "0 of 4 classes equal"),
    ],
    ids=["another version", "two versions", "beyond the tolerance", "other classes"],
)
def test_other_answers_or_anothers_are_an_error_that_says_whose(check, answers, versions, says):
    with pytest.raises(ReleaseError, match=says):
        check(answers, *versions)


@pytest.mark.parametrize("judged_against", [None, NO_CHAMPION, 3])
def test_a_release_tells_the_controller_what_the_version_was_judged_against(
    project, bundle, monkeypatch, judged_against
):
    monkeypatch.setattr(release, "get_run_logger", lambda: logging.getLogger("test"))
    monkeypatch.setattr(
        release, "wait_for_release", lambda _, request, *__, **___: Outcome(request, "release", 1, True, "it is", {})
    )
    registry = Registry(project.tracking_uri, project.model.name)
    version = register_like(registry, project.root, bundle)
    given = {} if judged_against is None else {"judged_against": judged_against}
    outcome = release.release_version.fn(project, version.version, why="all gates passed", **given)
    desired = registry.desired()
    assert (desired.id, desired.version, desired.digest) == (outcome.request_id, version.version, version.digest)
    assert (desired.judged_against, desired.why) == (judged_against, "all gates passed")
