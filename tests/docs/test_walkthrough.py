"""The commands of the pages, typed in their order into a project of one's own with a real stack."""

import re
import shutil

import pytest

from tests.docs.conftest import Shell
from tests.docs.pages import ROOT, Block, page

OWN_DATA = [block for block in page("docs/your-own-data.md").blocks if block.is_commands]
FIRST_RUN = [block for block in page("docs/first-run.md").blocks if block.is_commands]
TRAINING = [block for block in page("docs/training.md").blocks if block.is_commands]
REPRODUCIBILITY = [block for block in page("docs/reproducibility.md").blocks if block.is_commands]
README = [block for block in page("README.md").blocks if block.is_commands]
ELSEWHERE = {  # the block's first command -> what types it
    "make run": "tests/e2e: make run is `evergreen run` after the set-up",
    "make test": "this run",
    ". .venv/bin/activate\nevergreen run\n": "the steps below",
    "evergreen up --worker": "tests/e2e, in a clone",
}

pytestmark = pytest.mark.e2e


def is_typed_here(block: Block) -> bool:
    return not any(block.text.startswith(start) for start in ELSEWHERE)


def test_one_own_data_is_served(shell: Shell, settings_block: Block) -> None:
    create, run, add, pin, pull, restore = OWN_DATA
    shell.type(create, folder=shell.project.parent)
    shell.edit_settings(settings_block.text)
    printed = shell.type(run)
    assert "promoted: all 2 gates passed" in printed
    assert "packed image_folder: new or changed; no data.dvc" in printed
    assert "wardrobe version 1, stage Production" in printed
    assert "(version 1)" in printed
    printed = shell.type(add)
    assert "160 images as added-0001-new" in printed
    assert "promoted: all 3 gates passed" in printed
    shell.edit_settings('[data]\nremote = "storage"\n')
    shell.type(pin)
    digest = next(line for line in (shell.project / "data.dvc").read_text().splitlines() if "digest" in line)
    shutil.rmtree(shell.project / "data")
    shutil.rmtree(shell.project / ".dvc/cache")
    shell.type(pull)
    assert digest.split()[-1] in (shell.project / "data/manifest.json").read_text()
    shutil.rmtree(shell.project / "data")
    assert digest.split()[-1] in shell.type(restore)


@pytest.mark.parametrize("block", [block for block in FIRST_RUN if is_typed_here(block)], ids=str)
def test_the_commands_of_the_first_run(shell: Shell, block: Block) -> None:
    printed = shell.type(block, folder=ROOT)
    assert "wardrobe version" in printed


def test_the_plan_of_training(shell: Shell) -> None:
    (plan,) = TRAINING
    printed = shell.type(plan, folder=ROOT)
    assert re.search(r"data hit +[0-9a-f]{12} +1,760 images, unchanged", printed)
    assert "train miss" in printed  # by hand the next seed is trained
    assert "seed: 20261120 -> 20261121" in printed


def test_a_version_is_reproduced(shell: Shell) -> None:
    (reproduce,) = REPRODUCIBILITY
    printed = shell.type(reproduce, folder=ROOT)
    assert "verdict identical: trained again from its records. Every bit of the weights is the same." in printed


def test_the_commands_of_the_readme(shell: Shell) -> None:
    (block,) = filter(is_typed_here, README)
    text = block.text.replace(". .venv/bin/activate\n", "")  # the environment that runs the tests stands for it
    shell.wait_until_served()
    printed = shell.type(Block(block.page, block.line, "sh", text), folder=ROOT)
    assert "promote - -> 1" in printed
    assert "controller: stopping" in printed
