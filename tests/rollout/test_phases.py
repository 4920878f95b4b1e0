import dataclasses

import pytest

from tasks.evaluation.gates import Verdict
from tasks.rollout.phases import FINAL, Phase, ReleaseState, advance

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("verdicts", "phase", "weight_pct"),
    [
        ([PASS], Phase.PROGRESSING, 50),
        ([PASS, PASS], Phase.PROGRESSING, 100),
        ([PASS, PASS, PASS], Phase.PROMOTING, 100),
        ([FAIL], Phase.PROGRESSING, 10),
        ([FAIL, FAIL], Phase.ROLLING_BACK, 0),
        ([FAIL, PASS, FAIL], Phase.PROGRESSING, 50),
        ([FAIL, INCONCLUSIVE, FAIL], Phase.ROLLING_BACK, 0),
        ([INCONCLUSIVE, PASS], Phase.PROGRESSING, 50),
        ([INCONCLUSIVE] * 100, Phase.PROGRESSING, 10),
    ],
    ids=[
        "one step a pass",
        "the last step",
        "healthy to the end",
        "one failed check stays",
        "two failed checks roll back",
        "a pass forgets a failed check",
        "no data does not",
        "no data holds",
        "no data never passes",
    ],
)
def test_advance_with_traffic(verdicts, phase, weight_pct):
    state = ReleaseState(Phase.PROGRESSING, weight_pct=10)
    for verdict in verdicts:
        state = advance(state, verdict, steps=(10, 50, 100), max_failed_checks=2)
    assert (state.phase, state.weight_pct) == (phase, weight_pct)


@pytest.mark.parametrize(
    ("phase", "verdict", "expected", "weight_pct"),
    [
        (Phase.BOOTING, PASS, Phase.VERIFYING, 0),
        (Phase.BOOTING, INCONCLUSIVE, Phase.BOOTING, 0),
        (Phase.BOOTING, FAIL, Phase.ROLLING_BACK, 0),
        (Phase.VERIFYING, PASS, Phase.PROGRESSING, 100),
        (Phase.VERIFYING, INCONCLUSIVE, Phase.VERIFYING, 0),
        (Phase.VERIFYING, FAIL, Phase.ROLLING_BACK, 0),
        (Phase.SHADOWING, PASS, Phase.PROGRESSING, 100),
    ],
)
def test_advance_before_traffic(phase, verdict, expected, weight_pct):
    state = advance(ReleaseState(phase), verdict, steps=(100,), max_failed_checks=2)
    assert (state.phase, state.weight_pct) == (expected, weight_pct)


def test_steps_changed_in_the_settings_mid_release_go_on_upwards():
    state = ReleaseState(Phase.PROGRESSING, weight_pct=10)
    assert advance(state, PASS, steps=(5, 25, 100), max_failed_checks=2).weight_pct == 25


def test_only_the_ends_are_final():
    assert {Phase.SUCCEEDED, Phase.FAILED} == FINAL


def test_state_survives_json():
    state = ReleaseState(Phase.BOOTING, version=4, digest="d4", request_id="r", reason="why")
    state = state.enter(Phase.BOOTING, 10.5).enter(Phase.FAILED, 11.0, "no")
    assert ReleaseState.from_json(state.to_json()) == state
    assert (state.started_s, state.reason, state.is_final) == (10.5, "no", True)


@pytest.mark.parametrize("change", [{"phase": "dancing"}, {"times": None}, {"colour": "red"}])
def test_a_damaged_state_is_refused(change):
    values = {**dataclasses.asdict(ReleaseState(Phase.BOOTING)), **change}
    with pytest.raises(ValueError, match="not a release state"):
        ReleaseState.from_json(values)
