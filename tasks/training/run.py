"""The launcher: a fresh process for each training, with the determinism contract's variables set before it starts.

`python -m tasks.training.run SPEC.json OUT/` launches one and hands its event lines on, with its exit codes.
"""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

from tasks.errors import ConfigError, DataError, EvergreenError, TrainingError, TrainingStopped
from tasks.training.environment import launch_environment
from tasks.training.events import FAILED
from tasks.training.oom_killer import advise, count_kills
from tasks.training.result import REQUEST, STDERR, STDOUT, TrainedModel, read_result
from tasks.training.spec import TrainingSpec, read_spec

OnEvent = Callable[[dict[str, Any]], None]
KINDS = (ConfigError, DataError, TrainingError, TrainingStopped)
REASONS: dict[int, type[EvergreenError]] = {kind.exit_code: kind for kind in KINDS}
VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
STOP_LIMIT_S = 60.0  # to finish a step and write a checkpoint


def train(spec: TrainingSpec, out: Path, on_event: OnEvent, *, gpu: str = "") -> TrainedModel:
    """Train `spec` in a process of its own into `out`, handing on each of its events, and return the result.

    What this training left in `out` before is used: its result, once verified, else its last sound checkpoint.
    Whatever else stands there is removed. What libraries print goes to stdout.txt and stderr.txt there. `gpu` is the
    process's CUDA_VISIBLE_DEVICES; "" leaves it this one's.

    Raises:
        ConfigError, DataError, TrainingError: as the process said; TrainingError when it was killed.
        TrainingStopped: somebody asked the process to stop; called again, the training goes on.
    """
    request = out / REQUEST
    try:
        out.mkdir(parents=True, exist_ok=True)
        request.write_text(spec.to_json())
    except OSError as error:
        raise TrainingError(f"{request} cannot be written: {error.strerror}; make room or choose another") from error
    kills = count_kills()
    command = [sys.executable, "-m", "tasks.training", str(request), str(out)]
    code, said = launch(command, spec.threads, out, on_event, gpu=gpu)
    if code == -signal.SIGKILL and count_kills() > kills:
        raise TrainingError(f"the kernel killed the training for want of memory: {advise(spec, request)}")
    if code:
        raise failure(code, said, out)
    return read_result(out)


def launch(command: list[str], threads: int, out: Path, on_event: OnEvent, *, gpu: str = "") -> tuple[int, str]:
    """Run a sealed process, handing on its events, and return its exit code and the last that it said."""
    for name in (STDERR, STDOUT):
        (out / name).unlink(missing_ok=True)  # a process of an earlier start may still have it open
    with (out / STDERR).open("w+") as stderr, (out / STDOUT).open("w") as chatter:
        environment = launch_environment(threads) | ({VISIBLE_GPUS: gpu} if gpu else {})
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process, ending(process):  # fmt: skip
            reason = hand_on(process.stdout or (), chatter, on_event)
        stderr.seek(0)
        return process.returncode, reason or (stderr.read().strip().splitlines() or ["it said nothing"])[-1]


@contextlib.contextmanager
def ending(process: subprocess.Popen[str]) -> Iterator[None]:
    """Where the block raises, Ctrl-C too, ask the process to stop and wait until it has written its checkpoint."""
    try:
        yield
    except BaseException:
        process.terminate()
        if process.stdout is not None:
            process.stdout.close()  # or it waits for somebody to read its events
        with contextlib.suppress(subprocess.TimeoutExpired):
            try:
                process.wait(STOP_LIMIT_S)
            finally:
                process.kill()  # it does not answer, or somebody is in a hurry: what is on the disk stays
        raise


def hand_on(lines: Iterable[str], chatter: TextIO, on_event: OnEvent) -> str:
    """Give each event to `on_event`, what libraries print to `chatter`, and return why the training failed, if so."""
    reason = ""
    for line in lines:
        event = parse_event(line)
        if event is None:
            chatter.write(line)
        elif event["event"] == FAILED:
            reason = event["reason"]
        else:
            on_event(event)
    return reason


def parse_event(line: str) -> dict[str, Any] | None:
    """Return the event of a line of the process's output; None where a library wrote the line."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def failure(code: int, said: str, out: Path) -> EvergreenError:
    """Return the error for a training that ended with `code`, and last said `said`."""
    if code < 0:
        name = signal.Signals(-code).name
        return TrainingError(f"training was killed by {name} (see {out / STDERR}); start the run again to go on")
    return REASONS.get(code, TrainingError)(f"{said} (training ended with code {code}; all it said: {out / STDERR})")


def main(arguments: list[str]) -> int:
    """Launch what the arguments say, print its events, and return the exit code."""
    if len(arguments) != 2:
        print("usage: python -m tasks.training.run SPEC.json OUT/", file=sys.stderr)
        return ConfigError.exit_code
    signal.signal(signal.SIGTERM, raise_stopped)
    try:
        train(read_spec(Path(arguments[0])), Path(arguments[1]), lambda event: print(json.dumps(event), flush=True))
    except EvergreenError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except (BrokenPipeError, KeyboardInterrupt) as error:
        print(f"training stopped, and goes on when it is started again: {error!r}", file=sys.stderr)
        return TrainingStopped.exit_code
    return 0


def raise_stopped(number: int, _: FrameType | None) -> NoReturn:
    """Take SIGTERM as Ctrl-C is taken: the training is asked to stop, and waited for."""
    raise TrainingStopped(f"training was sent {signal.Signals(number).name}, and goes on when it is started again")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
