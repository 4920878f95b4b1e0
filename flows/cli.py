"""`evergreen`: each command is one flow or one read.

Heavy libraries are imported by the command that needs them: `--help` and `status` need none.
"""

import contextlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import httpx
import typer

from flows import data_cli, reads
from flows.run_settings import settings_for_run
from flows.terminal import console, print_error, print_rows, showing_progress
from tasks.errors import EvergreenError, StackError
from tasks.settings import Settings, load_settings

app = typer.Typer(
    help="Keeps an image classifier fresh in production. Exit codes: 0 done, 1 a defect, 2 a wrong setting or "
    "command, 10 data, 11 training, 12 registry, 13 release, 14 a local service, 75 training stopped with a "
    "checkpoint, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(data_cli.app, name="data")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Why = Annotated[str, typer.Option(help="The reason that stands in the ledger.")]


def main() -> None:
    """Run the command line; an error is one message and an exit code."""
    try:
        app()
    except EvergreenError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except httpx.HTTPError as error:  # of Prefect's client; ours turn theirs into sentences
        print_error(StackError(f"Prefect's server does not answer ({error}): `evergreen status` shows what runs"))
        sys.exit(StackError.exit_code)


@app.command()
def run(
    scheduled: Annotated[bool, typer.Option(help="As every night: unchanged inputs train nothing.")] = False,
    release: Annotated[bool, typer.Option(help="Release the model where all gates pass.")] = True,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting for this run: training.epochs=2.")
    ] = None,
) -> None:
    """Retrain: data, training, gates, registry, release. Starts the local stack if it is not up."""
    values = parse_overrides(overrides or [])
    settings_for_run(values)  # a wrong one is told now, not after the stack is up
    with showing_progress():
        prepare_for_flows(load_settings())
        from flows.retrain import retrain  # noqa: PLC0415  # imports MLflow and torch

        summary = retrain(scheduled=scheduled, release=release, overrides=values)
    console.print()
    print_rows(summary.rows())


@app.command()
def plan(
    scheduled: Annotated[bool, typer.Option(help="As every night: with the first seed.")] = False,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting, as for `evergreen run`.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show which steps of a run are known, and what changed where one is not; nothing is started."""
    from flows.plan import foresee  # noqa: PLC0415  # imports pyarrow

    outlook = foresee(settings_for_run(parse_overrides(overrides or [])), is_scheduled=scheduled)
    if as_json:
        print(json.dumps(outlook.to_json(), indent=2))
    else:
        print_rows(outlook.rows())


@app.command()
def up(
    worker: Annotated[bool, typer.Option(help="Also a worker for prefect.yaml's deployments.")] = False,
) -> None:
    """Start the local stack in the background: Prefect, MLflow, router, controller."""
    from flows.stack import start_stack  # noqa: PLC0415

    settings = load_settings()
    with showing_progress():
        start_stack(settings, with_worker=worker)
    print_rows(reads.status_rows(reads.read_state(settings)))


@app.command()
def down() -> None:
    """Stop the local stack and the servers of the model."""
    from flows.stack import stop_stack  # noqa: PLC0415

    stop_stack(load_settings(), lambda name, event: console.print(f"{name}: {event}"))


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show what is in production and what runs."""
    state = reads.read_state(load_settings())
    if as_json:
        print(json.dumps(state, indent=2))
    else:
        print_rows(reads.status_rows(state))


@app.command()
def release(version: Annotated[int, typer.Argument(min=1)], why: Why = "asked for by hand") -> None:
    """Bring a registered VERSION into production."""
    settings = load_settings()
    with showing_progress():
        prepare_for_flows(settings)
        from flows.release import release as flow  # noqa: PLC0415

        outcome = flow(version, why)
    console.print(f"version {version}: {outcome.reason}")


@app.command()
def rollback(why: Why = "asked for by hand") -> None:
    """Bring the previous version back into production. Exit code 2: there is none."""
    settings = load_settings()
    with showing_progress():
        prepare_for_flows(settings)
        from flows.rollback import rollback as flow  # noqa: PLC0415

        outcome = flow(why)
    console.print(f"version {outcome.version}: {outcome.reason}")


@app.command()
def history(as_json: AsJson = False) -> None:
    """Show who put which version into production, when, and why."""
    for line in reads.history_lines(load_settings(), as_json=as_json):
        print(line)


@app.command()
def predict(images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="PNG or JPEG files.")]) -> None:
    """Ask the model in production what is on each IMAGE."""
    print_rows(reads.predict_files(load_settings(), images))


@app.command()
def reproduce(
    version: Annotated[int, typer.Argument(min=1)],
    tracking_uri: Annotated[str, typer.Option(help="The MLflow that has the version; none: this project's.")] = "",
    data_remote: Annotated[
        str, typer.Option(help="The DVC remote that has its data; none: data.remote, else the recorded one.")
    ] = "",
    restore_environment: Annotated[
        bool, typer.Option(help="Install the version's lock where other packages are installed here.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Make a registered VERSION again from its records, and compare it bit for bit.

    Exit codes: 0 identical; 1 different in an equal environment, or something was altered; 3 the environment differs.
    """
    with contextlib.nullcontext() if as_json else showing_progress():
        from flows.reproducing import run_reproduction  # noqa: PLC0415  # imports MLflow

        evidence = run_reproduction(
            load_settings(),
            version,
            tracking_uri=tracking_uri,
            data_remote=data_remote,
            restore_environment=restore_environment,
        )
    from tasks.reproduction.page import to_json, to_rows  # noqa: PLC0415

    if as_json:
        print(to_json(evidence), end="")
    else:
        console.print()
        print_rows(to_rows(evidence))
    sys.exit(evidence.verdict.exit_code)


@app.command()
def doctor() -> None:
    """Show what this machine has, and what to do about what is missing."""
    from flows.doctor import examine  # noqa: PLC0415

    print_rows(examine(load_settings()))


def prepare_for_flows(settings: Settings) -> None:
    """Start the stack where it is not up, and point Prefect at it before it is imported."""
    from flows.stack import start_stack  # noqa: PLC0415
    from tasks.stack.services import flow_environment  # noqa: PLC0415

    start_stack(settings, with_worker=False)
    os.environ.update(flow_environment(settings))
    logging.raiseExceptions = False  # a log that cannot be sent must not bury the error that says why


def parse_overrides(texts: list[str]) -> dict[str, object]:
    """Return {"training.epochs": 2} of ["training.epochs=2"]; a value is JSON, or else text.

    Raises:
        typer.BadParameter: no "=" in it.
    """
    overrides: dict[str, object] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator:
            raise typer.BadParameter(f"{text!r}: expected KEY=VALUE, such as training.epochs=2")
        try:
            overrides[key] = json.loads(value)
        except json.JSONDecodeError:
            overrides[key] = value
    return overrides
