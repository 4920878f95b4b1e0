"""A spec comes back from its file as it was; another file is refused."""

import json

import pytest

from tasks.errors import ConfigError
from tasks.training.spec import read_spec


def test_it_comes_back_as_it_was(spec, tmp_path):
    (tmp_path / "spec.json").write_text(spec.to_json())
    assert read_spec(tmp_path / "spec.json") == spec


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda values: values.pop("recipe"), "KeyError"),
        (lambda values: values.pop("seed"), "seed"),
        (lambda values: values.update(speed=1), "speed"),
        (lambda values: values["recipe"].update(epoch=1), "epoch"),
    ],
    ids=["no recipe", "no seed", "one more", "one more in the recipe"],
)
def test_other_fields_are_refused(spec, tmp_path, change, text):
    values = json.loads(spec.to_json())
    change(values)
    (tmp_path / "spec.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=rf"spec.json is no training spec: .*{text}.*TrainingSpec.to_json writes one"):
        read_spec(tmp_path / "spec.json")


@pytest.mark.parametrize("content", [None, "{", "[]"], ids=["missing", "not JSON", "not an object"])
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "spec.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"is no training spec"):
        read_spec(path)
