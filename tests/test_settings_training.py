"""Candidates: what they state is held to the rules of [training], and what they do not is as there."""

import re

import pytest

from tasks.errors import ConfigError
from tasks.settings import Settings, load_settings
from tasks.settings_training import NOT_OF_A_CANDIDATE, CandidateSettings, TrainingSettings
from tests.conftest import ROOT

SHIPPED = (ROOT / "evergreen.toml").read_text()


@pytest.fixture
def load(tmp_path):
    """Load the shipped file with tables added."""

    def load_with(text: str) -> Settings:
        path = tmp_path / "evergreen.toml"
        path.write_text(f"{SHIPPED}\n{text}")
        return load_settings(path)

    return load_with


def test_a_candidate_states_what_it_does_not_share(load):
    settings = load('[[candidates]]\nname = "small"\n[[candidates]]\nname = "big"\nepochs = 3\nflip = false\nseed = 7')
    small, big = (candidate.over(settings.training) for candidate in settings.candidates)
    assert small == settings.training
    assert (big.epochs, big.flip, big.seed) == (3, False, 7)
    assert big.model_copy(update={"epochs": small.epochs, "flip": small.flip, "seed": small.seed}) == small


def test_every_key_of_a_training_but_those_of_the_machine_can_be_stated():
    assert set(CandidateSettings.model_fields) - {"name"} == set(TrainingSettings.model_fields) - {*NOT_OF_A_CANDIDATE}
    assert set(NOT_OF_A_CANDIDATE) < set(TrainingSettings.model_fields)


def test_none_are_shipped_and_the_example_in_the_file_is_right(tmp_path):
    path = tmp_path / "evergreen.toml"
    path.write_text(SHIPPED)
    assert load_settings(path).candidates == ()
    example = re.search(r"((?:# ?(?:\[\[candidates]].*|\w+ = .*)?\n)+)\n\[gates]", SHIPPED)[1]
    path.write_text(SHIPPED.replace(example, re.sub(r"^# ?", "", example, flags=re.MULTILINE)))
    candidates = load_settings(path).candidates
    assert [candidate.name for candidate in candidates] == ["small", "resnet"]
    assert candidates[1].architecture == "resnet18"


def test_a_variable_sets_them_all(monkeypatch):
    monkeypatch.setenv("EVERGREEN_CANDIDATES", '[{"name": "a"}, {"name": "b", "epochs": 1}]')
    assert [candidate.epochs for candidate in load_settings(ROOT / "evergreen.toml").candidates] == [None, 1]


TWO = '[[candidates]]\nname = "a"\n[[candidates]]\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f'{TWO}name = "b"\nepochs = 0', "candidates.1.epochs = 0: Input should be greater than 0"),
        (f'{TWO}name = "b"\nflip = "no idea"', "candidates.1.flip = 'no idea': Input should be a valid boolean.*"),
        (f'{TWO}name = "b"\nclass_balance = "all"', "candidates.1.class_balance = 'all': Input should be 'none', .*"),
        (f'{TWO}name = "b"\nepoch = 3', r"unknown key candidates.epoch = 3: did you mean candidates.epochs\?"),
        (f'{TWO}name = "b"\ndevice = "cpu"', "unknown key candidates.device = 'cpu': .*"),
        (f"{TWO}epochs = 3", "candidates.1.name: Field required"),
        (f'{TWO}name = "a b"', "candidates.1.name = 'a b': String should match pattern .*"),
        (f'{TWO}name = "a"\nepochs = 3', "candidates: two are called 'a': give one of them another name"),
        (
            f'{TWO}name = "b"\nepochs = 8',
            "candidates: 'a' and 'b' are the same training: give one of them another recipe or seed",
        ),
    ],
    ids=["range", "type", "choice", "unknown", "of the machine", "no name", "name", "twice", "twins"],
)
def test_a_mistake_is_told(load, text, line):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert re.search(f"^  {line}$", str(caught.value), re.MULTILINE)


def test_an_override_reaches_those_that_do_not_state_it(load):
    settings = load(f'{TWO}name = "b"\nepochs = 3').override({"training.epochs": 2})
    assert [candidate.over(settings.training).epochs for candidate in settings.candidates] == [2, 3]


def test_an_override_that_makes_two_equal_is_refused(load):
    with pytest.raises(ConfigError, match="'a' and 'b' are the same training"):
        load(f'{TWO}name = "b"\nepochs = 3').override({"training.epochs": 3})


@pytest.mark.parametrize("key", ["candidates", "candidates.0.epochs"])
def test_they_cannot_be_set_for_one_run(load, key):
    with pytest.raises(ConfigError, match=rf"{key} cannot be set for one run: write \[\[candidates\]\] into the file"):
        load("").override({key: 1})
