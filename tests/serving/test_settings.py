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


def test_every_setting_has_an_argument():
    arguments = (
        "--bundle b --host h --port 1 --model-name n --model-version v --threads 2 --max-batch 3 --max-body-bytes 4 "
        "--max-pixels 5 --max-images 7 --max-in-flight 6 --drain-s 0.5 --device cuda --log-level debug"
    )
    assert parse_settings(arguments.split(), {}) == ServerSettings(
        Path("b"), "n", "v", "h", 1, "cuda", 2, 3, 4, 5, 7, 6, 0.5, "debug"
    )


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        ([], {}, "the following arguments are required: --bundle, --model-name, --model-version"),
        (["--port", "http"], NEEDED, "argument --port: invalid int value: 'http'"),
        ([], {**NEEDED, "SERVING_PORT": "http"}, "argument --port: invalid int value: 'http'"),
        (["--threads", "0"], NEEDED, "argument --threads: 0 is too small, the least is 1"),
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
