import dataclasses
from pathlib import Path

import pytest

from serving.settings import ServerSettings, parse_settings

NEEDED = {"SERVING_BUNDLE": "/bundle", "SERVING_MODEL_NAME": "fashion", "SERVING_MODEL_VERSION": "3"}


def test_arguments_go_before_variables_and_variables_before_defaults():
    environment = {**NEEDED, "SERVING_PORT": "9000", "SERVING_THREADS": "4"}
    settings = parse_settings(["--port", "9001", "--bundle", "other"], environment)
    assert settings == ServerSettings(
        bundle=Path("other"), model_name="fashion", model_version="3", port=9001, threads=4
    )  # fmt: skip


def test_every_setting_has_an_argument_but_the_token():
    given = {
        "bundle": "b", "model-name": "n", "model-version": "v", "host": "h", "port": 1, "admin-port": 2,
        "device": "cuda", "workers": 3, "threads": 4, "max-batch": 5, "max-body-bytes": 6, "max-pixels": 7,
        "max-images": 8, "max-in-flight": 9, "max-in-flight-bytes": 10, "timeout-s": 11.5, "receive-s": 12.5,
        "idle-s": 13.5, "drain-s": 0.5, "golden-every-s": 0, "record-folder": "r", "record-share": 0.25,
        "record-images": "true", "record-max-bytes": 14, "record-segment-bytes": 15, "record-segment-s": 16.5,
        "log-level": "debug",
    }  # fmt: skip
    settings = parse_settings([word for name, value in given.items() for word in (f"--{name}", str(value))], {})
    expected = {name.replace("-", "_"): value for name, value in given.items()}
    assert dataclasses.asdict(settings) == {**expected, "bundle": Path("b"), "record_images": True, "token": ""}


def test_the_token_comes_from_its_variable_and_is_not_shown():
    settings = parse_settings([], {**NEEDED, "SERVING_TOKEN": "hush"})
    assert settings.token == "hush"
    assert "hush" not in repr(settings)


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        ([], {}, "the following arguments are required: --bundle, --model-name, --model-version"),
        (["--port", "http"], NEEDED, "argument --port: invalid int value: 'http'"),
        ([], {**NEEDED, "SERVING_PORT": "http"}, "argument --port: invalid int value: 'http'"),
        (["--threads", "-1"], NEEDED, "argument --threads: -1 is too small, the least is 0"),
        (["--port", "65536"], NEEDED, "argument --port: 65536 is too large, the most is 65535"),
        (["--record-share", "1.5"], NEEDED, "argument --record-share: 1.5 is too large, the most is 1"),
        (["--timeout-s", "nan"], NEEDED, "argument --timeout-s: nan is too large, the most is inf"),
        (["--record-images", "maybe"], NEEDED, "expected one of true, 1, false, 0, got 'maybe'"),
        (["--token", "hush"], NEEDED, "unrecognized arguments: --token hush"),
        (["--drain-s", "-1"], NEEDED, "argument --drain-s: -1.0 is too small, the least is 0"),
        (["--device", "tpu"], NEEDED, "argument --device: invalid choice: 'tpu'"),
        (["--max-images", "0"], NEEDED, "argument --max-images: 0 is too small, the least is 1"),
        (["--log-level", "loud"], NEEDED, "argument --log-level: invalid choice: 'loud'"),
        (["--thread"], NEEDED, "argument --threads: expected one argument"),
        (["--colour", "red"], NEEDED, "unrecognized arguments: --colour red"),
    ],
)
def test_wrong_settings_end_with_code_2(arguments, environment, sentence, capsys):
    with pytest.raises(SystemExit) as end:
        parse_settings(arguments, environment)
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err
