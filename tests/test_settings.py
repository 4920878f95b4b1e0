"""One file and the variables over it, read into one frozen record; each mistake is told, with the nearest right key."""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from tasks.errors import ConfigError
from tasks.settings import Settings, load_settings
from tasks.settings_keys import section_of, setting_paths
from tests.conftest import ROOT

SHIPPED = ROOT / "evergreen.toml"


@pytest.fixture
def write(tmp_path: Path):
    """Write the shipped file with texts replaced, and return its path."""

    def write_file(*replacements: tuple[str, str]) -> Path:
        text = SHIPPED.read_text()
        for old, new in replacements:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        path = tmp_path / "evergreen.toml"
        path.write_text(text)
        return path

    return write_file


def test_the_shipped_file_loads():
    settings = load_settings(SHIPPED)
    assert settings.root == ROOT
    assert settings.training.architecture == "small_cnn"
    assert settings.release.steps_pct == (100,)
    assert settings.data.sources[0].kind == "fashion-mnist"


def test_the_shipped_file_has_every_key():
    values = tomllib.loads(SHIPPED.read_text())
    in_file = {f"{section}.{key}" for section, keys in values.items() for key in keys}
    assert in_file == set(setting_paths(Settings)) - {"candidates"}  # which stand there as a comment


def test_no_default_in_code_hides_a_missing_key(write):
    paths = [path for path in setting_paths(Settings) if path not in ("data.sources", "candidates")]
    assert len(paths) > 40
    for path in paths:
        section, key = path.split(".")
        assert Settings.model_fields[section].annotation.model_fields[key].is_required(), path
    message = error_of(write(("seed = 20261120\n", "")))
    assert message == "evergreen.toml:\n  training.seed: Field required"


def test_a_variable_wins_over_the_file(write, monkeypatch):
    monkeypatch.setenv("EVERGREEN_TRAINING__EPOCHS", "3")
    monkeypatch.setenv("EVERGREEN_RELEASE__STEPS_PCT", "[10, 100]")
    settings = load_settings(write(("epochs = 8", "epochs = 5")))
    assert (settings.training.epochs, settings.release.steps_pct) == (3, (10, 100))


def test_an_override_wins_over_a_variable(monkeypatch):
    monkeypatch.setenv("EVERGREEN_TRAINING__EPOCHS", "3")
    settings = load_settings(SHIPPED)
    changed = settings.override({"training.epochs": 2, "release.steps_pct": [50, 100]})
    assert (changed.training.epochs, changed.release.steps_pct) == (2, (50, 100))
    assert changed.root == settings.root
    assert changed.training.seed == settings.training.seed
    assert settings.training.epochs == 3


def error_of(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("epochs = 8", "epoch = 8", "unknown key training.epoch = 8: did you mean training.epochs\\?"),
        ("[gates]", "[gate]", "unknown key gate = {.*}: did you mean gates\\?"),
        ("location = ", "lokation = ", "unknown key data.sources.lokation = '': did you mean data.sources.location\\?"),
        ("batch_size = 128", "xyz = 1", "unknown key training.xyz = 1: known are architecture, batch_size, .*"),
        ("epochs = 8", "epochs = 0", "training.epochs = 0: Input should be greater than 0"),
        ("epochs = 8", 'epochs = "many"', "training.epochs = 'many': Input should be a valid integer.*"),
        ("channels = 1", "channels = 2", "model.channels = 2: Input should be 1 or 3"),
        ("confidence = 0.95", "confidence = 95", "gates.confidence = 95: Input should be less than 1"),
        ("steps_pct = [100]", "steps_pct = [0]", "release.steps_pct.0 = 0: Input should be greater than 0"),
        ("steps_pct = [100]", "steps_pct = []", r"release.steps_pct = \[\]: Tuple should have at least 1 item.*"),
        (
            'kind = "fashion-mnist"',
            'kind = "mnist"',
            "data.sources.0.kind = 'mnist': Input should be 'fashion-mnist'.*",
        ),
        ("router_port = 8080", "router_port = 65536", "stack.router_port = 65536: Input should be less than 65536"),
        ('name = "fashion-mnist"', 'name = "a b"', "model.name = 'a b': String should match pattern.*"),
    ],
)
def test_a_mistake_in_the_file_is_told(write, old, new, line):
    assert re.search(f"^  {line}$", error_of(write((old, new))), re.MULTILINE)


def test_all_mistakes_are_told_at_once(write, monkeypatch):
    monkeypatch.setenv("EVERGREEN_TRAINING__EPOC", "2")
    monkeypatch.setenv("EVERGREEN_GATES__MIN_ACCURACY", "1.5")
    message = error_of(write(("batch_size = 128", "batch_size = -1"), ("tick_s = 0.5", "tick = 0.5")))
    assert message.splitlines() == [
        "evergreen.toml:",
        "  unknown key release.tick = 0.5: did you mean release.tick_s?",
        "  unknown variable EVERGREEN_TRAINING__EPOC='2': did you mean EVERGREEN_TRAINING__EPOCHS?",
        "  training.batch_size = -1: Input should be greater than 0",
        "  EVERGREEN_GATES__MIN_ACCURACY: gates.min_accuracy = '1.5': Input should be less than or equal to 1",
        "  release.tick_s: Field required",
    ]


def test_a_variable_that_is_no_json_is_told(monkeypatch):
    monkeypatch.setenv("EVERGREEN_RELEASE__STEPS_PCT", "10, 100")
    assert 'must be JSON: error parsing value for field "release"' in error_of(SHIPPED)


@pytest.mark.parametrize(
    "content", [b"[training\nepochs = 1", b"\xff\xfe[training]"], ids=["a bracket is open", "not UTF-8"]
)
def test_a_file_that_is_not_toml_is_told(tmp_path, content):
    path = tmp_path / "evergreen.toml"
    path.write_bytes(content)
    assert error_of(path).startswith(f"{path} is not TOML: ")


def test_a_missing_file_names_the_way_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert str(caught.value) == (
        f"no settings file at {tmp_path}/evergreen.toml: run from the project's folder, "
        "or set EVERGREEN_CONFIG to the file"
    )


def test_the_file_can_be_elsewhere(write, monkeypatch, tmp_path_factory):
    path = write()
    monkeypatch.setenv("EVERGREEN_CONFIG", str(path))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert load_settings().root == path.parent


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        ({"training.epoch": 2}, ["unknown key training.epoch = 2: did you mean training.epochs?"]),
        ({"epochs": 2}, ["unknown key epochs = 2: did you mean training.epochs?"]),
        ({"training.epochs": 0}, ["training.epochs = 0: Input should be greater than 0"]),
        (
            {"data.sources": [{"kind": "idx", "lokation": "x"}]},
            ["unknown key data.sources.lokation = 'x': did you mean data.sources.location?"],
        ),
        (
            {"gates.confidense": 0.9, "training.epochs": -1, "stack.router_port": 0},
            [
                "unknown key gates.confidense = 0.9: did you mean gates.confidence?",
                "training.epochs = -1: Input should be greater than 0",
                "stack.router_port = 0: Input should be greater than 0",
            ],
        ),
    ],
    ids=["unknown", "without its section", "out of range", "inside a list", "several"],
)
def test_a_wrong_override_is_told(values, lines):
    with pytest.raises(ConfigError) as caught:
        load_settings(SHIPPED).override(values)
    assert str(caught.value).splitlines() == lines


def test_settings_are_frozen():
    settings = load_settings(SHIPPED)
    with pytest.raises(ValidationError, match="frozen"):
        settings.training.epochs = 1
    with pytest.raises(ValidationError, match="frozen"):
        settings.training = settings.training


@pytest.mark.parametrize(
    ("variable", "expected"),
    [(None, "project/.evergreen"), ("", "project/.evergreen"), ("state", "project/state"), ("/a/b", "/a/b")],
    ids=["by default", "empty", "relative to the project", "absolute"],
)
def test_home(write, tmp_path, monkeypatch, variable, expected):
    project = tmp_path / "project"
    project.mkdir()
    path = write().rename(project / "evergreen.toml")
    if variable is not None:
        monkeypatch.setenv("EVERGREEN_HOME", variable)
    assert load_settings(path).home == tmp_path / expected


def test_paths_are_relative_to_the_file(write, tmp_path, monkeypatch):
    path = write(('folder = "data"', 'folder = "packed/data"'), ('"mlruns"', '"/var/mlruns"'))
    monkeypatch.chdir(tmp_path.parent)
    settings = load_settings(path)
    assert settings.data_folder == tmp_path / "packed" / "data"
    assert settings.tracking_folder == Path("/var/mlruns")


def test_addresses(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it in a process that uses it
    settings = load_settings(SHIPPED)
    assert settings.router_url == "http://127.0.0.1:8080"
    assert settings.tracking_uri == "http://127.0.0.1:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    assert settings.tracking_uri == "https://mlflow.example.org"


def test_every_section_refuses_unknown_keys_and_is_frozen():
    sections = [section_of(field.annotation) for field in Settings.model_fields.values()]
    sections.append(section_of(sections[1].model_fields["sources"].annotation))
    assert len(sections) == 9
    for section in sections:
        assert issubclass(section, BaseModel)
        assert section.model_config["extra"] == "forbid"
        assert section.model_config["frozen"]


@pytest.mark.parametrize("steps", [[50, 10, 100], [10, 10, 100], [10, 50]], ids=["falls", "stays", "ends early"])
def test_release_steps_rise_to_100(steps):
    with pytest.raises(ConfigError, match=r"release.steps_pct = .* must rise and end at 100, such as \[10, 50, 100\]"):
        load_settings(SHIPPED).override({"release.steps_pct": steps})


def test_two_services_on_one_port_are_named():
    with pytest.raises(ConfigError, match="prefect_port and router_port are both 4200: each service needs a port"):
        load_settings(SHIPPED).override({"stack.router_port": 4200})


def test_a_wrong_variable_is_named_and_not_the_file(monkeypatch):
    monkeypatch.setenv("EVERGREEN_TRAINING__EPOCHS", "two")
    with pytest.raises(ConfigError, match=r"EVERGREEN_TRAINING__EPOCHS: training.epochs = 'two': "):
        load_settings(SHIPPED)


def test_an_unknown_key_inside_a_variable_is_told(monkeypatch):
    monkeypatch.setenv("EVERGREEN_DATA__SOURCES", '[{"kind": "idx", "locaton": "x"}]')
    with pytest.raises(ConfigError, match=r"EVERGREEN_DATA__SOURCES: data.sources.0.locaton = 'x': "):
        load_settings(SHIPPED)


def test_where_runs_are_kept(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    settings = load_settings(SHIPPED)
    assert settings.is_tracking_local
    assert settings.tracking_uri == "http://127.0.0.1:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    assert not settings.is_tracking_local
