"""A server's recorder that is killed in the middle of its work, and the one that comes after it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.serving.recording import PATIENCE_S, make_recorder, names, open_names, read_lines, until

ROOT = Path(__file__).parents[2]
CHILD = """
import itertools, sys, time
from pathlib import Path
from tests.serving.recording import make_images, make_limits, make_prediction, make_recorder

folder, segment_bytes, pause_s = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
recorder = make_recorder(folder, has_images=True, limits=make_limits(segment_bytes=segment_bytes, max_bytes=10**9))
images, prediction = make_images(1), make_prediction(1)
for number in itertools.count():
    recorder.offer(f"{sys.argv[4]}-{number}", images, prediction)
    print(number, time.time(), flush=True)
    time.sleep(pause_s)
"""


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start processes that record; what is left of them at the end is killed."""
    processes = []

    def run(folder: Path, name: str, *, segment_bytes: int = 1_000_000, pause_s: float = 0.0005) -> subprocess.Popen:
        arguments = [str(folder), str(segment_bytes), str(pause_s), name]
        command = [sys.executable, "-c", CHILD, *arguments]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.communicate(timeout=PATIENCE_S)


def kill(process: subprocess.Popen) -> tuple[list[float], float]:
    """Kill it, and return when it offered each record, and when it was killed."""
    killed = time.time()
    os.kill(process.pid, signal.SIGKILL)
    told, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGKILL
    return [float(line.split()[1]) for line in told.splitlines() if len(line.split()) == 2], killed


def written(folder: Path) -> int:
    total = 0
    for path in folder.glob("*"):
        with contextlib.suppress(FileNotFoundError):  # completed meanwhile
            total += path.stat().st_size
    return total


def test_a_kill_loses_at_most_the_last_seconds(tmp_path, start):
    folder = tmp_path / "log"
    process = start(folder, "a")
    until(lambda: written(folder) > 100_000)
    offered, killed = kill(process)
    (left,) = open_names(folder)
    assert names(folder) == []
    whole = (folder / left).read_bytes().split(b"\n")[:-1]
    successor = make_recorder(folder)
    until(lambda: names(folder) and not open_names(folder))
    successor.close()
    assert names(folder) == [left.removesuffix(".open")]
    records = read_lines(folder)
    assert records == [json.loads(line) for line in whole]
    assert [record["request_id"] for record in records] == [f"a-{number}" for number in range(len(records))]
    lost = [moment for moment in offered[len(records) :] if moment < killed - 2]
    assert lost == []  # nothing that was two seconds old


def test_kills_at_any_moment_leave_whole_lines_only(tmp_path, start):
    """Killed while it writes, rotates and completes what the last one left: segments of a few lines make that often."""
    folder = tmp_path / "log"
    rounds = 6
    for number in range(rounds):
        before = written(folder)
        process = start(folder, f"r{number}", segment_bytes=4000, pause_s=0.0)
        until(lambda before=before: written(folder) > before + 40_000)
        kill(process)
    make_recorder(folder).close()
    assert open_names(folder) == []
    assert len(names(folder)) > 10 * rounds
    seen = [record["request_id"] for record in read_lines(folder)]  # which reads each line as JSON
    for number in range(rounds):
        mine = [name for name in seen if name.startswith(f"r{number}-")]
        assert mine
        assert mine == [f"r{number}-{place}" for place in range(len(mine))]


def test_a_killed_one_is_completed_while_the_living_goes_on(tmp_path, start):
    folder = tmp_path / "log"
    doomed = start(folder, "doomed")
    until(lambda: written(folder) > 10_000)
    living = start(folder, "living")
    until(lambda: len(open_names(folder)) == 2)
    mine = open_names(folder)[1]
    kill(doomed)
    third = make_recorder(folder)
    until(lambda: names(folder))
    third.close()
    assert open_names(folder) == [mine]
    before = (folder / mine).stat().st_size
    until(lambda: (folder / mine).stat().st_size > before)
    kill(living)
    make_recorder(folder).close()
    assert {record["request_id"].split("-")[0] for record in read_lines(folder)} == {"doomed", "living"}


@pytest.mark.parametrize("workers", [3])
def test_several_processes_share_a_folder(tmp_path, start, workers):
    folder = tmp_path / "log"
    processes = [start(folder, f"w{number}", segment_bytes=5000) for number in range(workers)]
    until(lambda: folder.exists() and len(open_names(folder)) == workers and len(names(folder)) > 20)
    for process in processes:
        kill(process)
    make_recorder(folder).close()
    seen = [record["request_id"] for record in read_lines(folder)]
    for number in range(workers):
        mine = [name for name in seen if name.startswith(f"w{number}-")]
        assert mine == [f"w{number}-{place}" for place in range(len(mine))]
        assert mine
