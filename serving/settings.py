"""The server's settings: command line > `SERVING_*` variables > the defaults here.

The variables are for containers; `EVERGREEN_*` belongs to the pipeline's settings.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path

PREFIX = "SERVING_"
_VARIABLE_ONLY = "token"
LEVELS = ("debug", "info", "warning", "error")

_MAY_BE_ZERO = ("port", "admin_port", "workers", "threads", "timeout_s", "drain_s", "golden_every_s", "record_share")
_MOST: Mapping[str, float] = {"port": 65535, "admin_port": 65535, "record_share": 1}
_LEAST: Mapping[type, float] = {int: 1, float: 0.001}
_SWITCH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class ServerSettings:
    """What one server serves, where, and within which limits."""

    bundle: Path = field(metadata={"help": "folder of the bundle"})
    model_name: str = field(metadata={"help": "name in paths and answers"})
    model_version: str = field(metadata={"help": "version in paths and answers"})
    host: str = field(default="127.0.0.1", metadata={"help": "address to listen on"})
    port: int = field(default=8080, metadata={"help": "port to listen on; 0 takes a free one and logs it"})
    admin_port: int = field(
        default=0, metadata={"help": "port of its own for metrics and health; 0: they are on the main port"}
    )
    device: str = field(default="cpu", metadata={"help": "where the model runs", "choices": ("cpu", "cuda")})
    workers: int = field(default=0, metadata={"help": "processes; 0: by the cores that there are, 1 on a GPU"})
    threads: int = field(default=0, metadata={"help": "torch threads of a worker; 0: the cores divided by the workers"})
    max_batch: int = field(default=64, metadata={"help": "images the model sees at once"})
    max_body_bytes: int = field(default=20_000_000, metadata={"help": "larger bodies are refused"})
    max_pixels: int = field(default=50_000_000, metadata={"help": "of all images of a request, together"})
    max_images: int = field(default=1024, metadata={"help": "of a request; more are refused"})
    max_in_flight: int = field(default=128, metadata={"help": "requests at a time in a worker; more get 503"})
    max_in_flight_bytes: int = field(
        default=256_000_000, metadata={"help": "their bodies and images together; more get 503"}
    )
    timeout_s: float = field(
        default=30.0, metadata={"help": "seconds for an answer, where a request says no other; 0: no end"}
    )
    receive_s: float = field(default=30.0, metadata={"help": "seconds that a client gets to send a request"})
    idle_s: float = field(default=75.0, metadata={"help": "seconds that an idle connection stays open"})
    drain_s: float = field(default=5.0, metadata={"help": "seconds that requests in flight get after SIGTERM"})
    golden_every_s: float = field(
        default=60.0, metadata={"help": "seconds between golden checks; 0: none but at start"}
    )
    token: str = field(
        default="", metadata={"help": "bearer token that predictions and feedback need; empty: none"}, repr=False
    )
    record_folder: str = field(default="", metadata={"help": "folder of the prediction log; empty: none is kept"})
    record_share: float = field(default=1.0, metadata={"help": "share of the requests that are recorded, 0 to 1"})
    record_images: bool = field(default=False, metadata={"help": "record the images too"})
    record_max_bytes: int = field(default=1_000_000_000, metadata={"help": "of the log on the disk; oldest go first"})
    record_segment_bytes: int = field(default=16_000_000, metadata={"help": "of one segment of the log"})
    record_segment_s: float = field(default=60.0, metadata={"help": "seconds after which a segment is complete"})
    log_level: str = field(
        default="info",
        metadata={"help": "least level of the log; debug has every request", "choices": LEVELS},
    )


def parse_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> ServerSettings:
    """Return the settings; a wrong or missing one ends the process with code 2 and a usage message.

    The token is taken from its variable alone: arguments are for every user of a machine to see.
    """
    parser = argparse.ArgumentParser(prog="python -m serving", description="Serve one bundle over HTTP.")
    for setting in fields(ServerSettings):
        if setting.name != _VARIABLE_ONLY:
            variable = PREFIX + setting.name.upper()
            default = environment.get(variable, setting.default)
            parser.add_argument(
                "--" + setting.name.replace("_", "-"),
                type=_parse_switch if setting.type is bool else setting.type,
                default=None if default is MISSING else default,
                required=default is MISSING,
                choices=setting.metadata.get("choices"),
                help=f"{setting.metadata['help']} ({variable})",
            )
    values = vars(parser.parse_args(arguments))
    for name, value in values.items():
        if type(value) in (int, float):
            option = f"argument --{name.replace('_', '-')}"
            if value < (least := 0 if name in _MAY_BE_ZERO else _LEAST[type(value)]):
                parser.error(f"{option}: {value} is too small, the least is {least}")
            if value > (most := _MOST.get(name, math.inf)) or math.isnan(value):
                parser.error(f"{option}: {value} is too large, the most is {most}")
    return ServerSettings(**values, token=environment.get(PREFIX + _VARIABLE_ONLY.upper(), ""))


def _parse_switch(text: str) -> bool:
    if text.lower() not in _SWITCH:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(_SWITCH)}, got {text!r}")
    return _SWITCH[text.lower()]
