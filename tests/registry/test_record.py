import dataclasses
import json
import subprocess
import sys

import pytest

from tasks.errors import RegistryError
from tasks.registry.record import DesiredRelease, RegistryView

RELEASE = DesiredRelease("r1", "release", 4, "ab" * 32, "mia", "all gates passed", "2026-11-20T04:35:12+00:00")
ROLLBACK = DesiredRelease("r2", "rollback", None, None, "mia", "users complain", "2026-11-20T05:35:12+00:00")


@pytest.mark.parametrize(
    "desired",
    [RELEASE, dataclasses.replace(RELEASE, judged_against=3), ROLLBACK],
    ids=["release by hand", "release after a judgement", "rollback"],
)
def test_a_desired_release_survives_its_tag(desired):
    assert DesiredRelease.from_json(desired.to_json()) == desired


def test_a_request_of_before_the_judged_champion_was_written_can_be_read():
    values = json.loads(RELEASE.to_json())
    del values["judged_against"]
    assert DesiredRelease.from_json(json.dumps(values)) == RELEASE
    assert RELEASE.judged_against is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"id": "r1"}', "cannot be read"),
        (RELEASE.to_json().replace("release", "destroy"), "asks for 'destroy'; expected one of release, rollback"),
    ],
    ids=["torn", "no object", "incomplete", "unknown action"],
)
def test_a_tag_that_is_no_desired_release_is_refused(text, says):
    with pytest.raises(RegistryError, match=says):
        DesiredRelease.from_json(text)


def test_a_view_lists_the_aliases_that_are_set():
    assert RegistryView(champion=3, previous=1).aliases == {"champion": 3, "previous": 1}
    assert RegistryView().aliases == {}


def test_records_and_ledger_do_not_import_mlflow():
    code = (
        "import sys, tasks.registry.record, tasks.registry.stages, tasks.registry.ledger; "
        "print([name for name in ('mlflow', 'pandas', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
