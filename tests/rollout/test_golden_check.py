import shutil

import pytest

from serving.bundle.contract import bundle_digest
from tasks.errors import ReleaseError
from tasks.rollout.golden_check import check_server, worst_difference
from tests.rollout.running import spec_of, until


def address(engine, bundle):
    engine.start(spec_of(bundle))
    return f"http://127.0.0.1:{until(lambda: engine.list()[0].port, what='listening')}"


def test_every_golden_question_is_asked(engine, bundle):
    assert check_server(address(engine, bundle), bundle, digest=bundle_digest(bundle)) == 8


def test_a_wrong_answer_is_named_with_its_difference(engine, bundle, tmp_path):
    wrong = shutil.copytree(bundle, tmp_path / "wrong")
    (wrong / "golden" / "wrong").touch()
    with pytest.raises(ReleaseError, match=r"golden/000.npy wrongly: a probability differs by 0\.\d+, .*0\.0005"):
        check_server(address(engine, wrong), bundle, digest=bundle_digest(bundle))


def test_another_bundle_is_refused(engine, bundle):
    with pytest.raises(ReleaseError, match="expected other"):
        check_server(address(engine, bundle), bundle, digest="other")


def test_no_golden_answers_are_no_pass(engine, bundle, tmp_path):
    url = address(engine, bundle)
    empty = shutil.copytree(bundle, tmp_path / "empty")
    (empty / "golden" / "golden.json").write_text("[]")
    with pytest.raises(ReleaseError, match="nothing would be checked"):
        check_server(url, empty, digest=bundle_digest(bundle))


@pytest.mark.parametrize(
    ("answer", "difference"),
    [
        ({0: 0.25, 1: 0.75}, 0.0),
        ({0: 0.5, 1: 0.5}, 0.25),
        ({0: 0.25}, float("inf")),
        ({0: 0.25, 1: 0.75, 2: 0.0}, float("inf")),
        ({0: float("nan"), 1: 0.75}, float("inf")),
    ],
    ids=["equal", "different", "a class is missing", "a class too many", "not a number"],
)
def test_worst_difference(answer, difference):
    assert worst_difference(answer, [0.25, 0.75]) == difference
