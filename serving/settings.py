"""The server's settings: command line > `SERVING_*` variables > the defaults here.

The variables are for containers; `EVERGREEN_*` belongs to the pipeline's settings.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path

PREFIX = "SERVING_"
LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class ServerSettings:
    """What one server serves, where, and within which limits."""

    bundle: Path = field(metadata={"help": "folder of the bundle"})
    model_name: str = field(metadata={"help": "name in paths and answers"})
    model_version: str = field(metadata={"help": "version in paths and answers"})
    host: str = field(default="127.0.0.1", metadata={"help": "address to listen on"})
    port: int = field(default=8080, metadata={"help": "port to listen on; 0 takes a free one and logs it"})
    device: str = field(default="cpu", metadata={"help": "where the model runs", "choices": ("cpu", "cuda")})
    threads: int = field(default=1, metadata={"help": "torch threads"})
    max_batch: int = field(default=64, metadata={"help": "images the model sees at once"})
    max_body_bytes: int = field(default=20_000_000, metadata={"help": "larger bodies are refused"})
    max_pixels: int = field(default=50_000_000, metadata={"help": "of all images of a request, together"})
    max_images: int = field(default=1024, metadata={"help": "of a request; more are refused"})
    max_in_flight: int = field(default=128, metadata={"help": "requests at a time; more get 503"})
    drain_s: float = field(default=5.0, metadata={"help": "seconds that requests in flight get after SIGTERM"})
    log_level: str = field(
        default="info",
        metadata={"help": "least level of the log; debug has every request", "choices": LEVELS},
    )


def parse_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> ServerSettings:
    """Return the settings; a wrong or missing one ends the process with code 2 and a usage message."""
    parser = argparse.ArgumentParser(prog="python -m serving", description="Serve one bundle over HTTP.")
    for setting in fields(ServerSettings):
        variable = PREFIX + setting.name.upper()
        default = environment.get(variable, setting.default)
        parser.add_argument(
            "--" + setting.name.replace("_", "-"),
            type=setting.type,  # a class: this module's annotations are not postponed
            default=None if default is MISSING else default,
            required=default is MISSING,
            choices=setting.metadata.get("choices"),
            help=f"{setting.metadata['help']} ({variable})",
        )
    values = vars(parser.parse_args(arguments))
    for name, value in values.items():
        least = 0 if name in ("port", "drain_s") else 1
        if isinstance(value, int | float) and value < least:
            parser.error(f"argument --{name.replace('_', '-')}: {value} is too small, the least is {least}")
    return ServerSettings(**values)
