"""The log: what a line holds, which are written, and that a slow reader stops nobody."""

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading

import pytest

from serving.logs import JsonFormatter, QueuedHandler
from tests.conftest import ROOT

DEADLINE_S = 60


class Stream:
    """A standard output whose reader can be slow; it remembers each write."""

    def __init__(self) -> None:
        self.is_read = threading.Event()
        self.is_read.set()
        self.has_begun = threading.Event()
        self.writes: list[str] = []

    def write(self, text: str) -> None:
        self.has_begun.set()
        assert self.is_read.wait(DEADLINE_S)
        self.writes.append(text)

    def flush(self) -> None:
        pass

    def messages(self) -> list[str]:
        return [json.loads(line)["message"] for line in "".join(self.writes).splitlines()]


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture
def log(stream):
    """A logger that writes to the stream alone."""
    logger = logging.Logger("test")
    logger.addHandler(QueuedHandler(stream, most_lines=100))
    return logger


def flush(log: logging.Logger) -> None:
    log.handlers[0].flush()


def test_an_exception_is_one_line_too():
    error = ValueError("two\nlines")
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", None, (ValueError, error, None))
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "two\nlines" in json.loads(line)["exception"]


def test_what_is_no_json_is_told_as_text():
    record = logging.makeLogRecord({"msg": "loading %s", "args": (ROOT,), "folder": ROOT, "size": 3})
    values = json.loads(JsonFormatter().format(record))
    assert (values["message"], values["folder"], values["size"]) == (f"loading {ROOT}", str(ROOT), 3)


def test_one_of_several_workers_says_which_it_is(stream, monkeypatch):
    logger = logging.Logger("test")
    monkeypatch.setenv("SERVING_WORKER", "3")
    logger.addHandler(QueuedHandler(stream))
    logger.info("ours", extra={"size": 1})
    flush(logger)
    monkeypatch.delenv("SERVING_WORKER")
    logger.handlers = [QueuedHandler(stream)]
    logger.info("alone")
    flush(logger)
    several, alone = map(json.loads, "".join(stream.writes).splitlines())
    assert (several["worker"], several["size"]) == (3, 1)
    assert "worker" not in alone


def test_lines_keep_their_order(log, stream):
    expected = [f"line {number}" for number in range(50)]
    for message in expected:
        log.info(message)
    flush(log)
    assert stream.messages() == expected


def test_a_slow_reader_stops_nobody_and_what_is_dropped_is_told(log, stream):
    stream.is_read.clear()
    log.info("first")
    assert stream.has_begun.wait(DEADLINE_S)
    for number in range(130):
        log.info("line %d", number)
    log.info("last")
    stream.is_read.set()
    flush(log)
    log.info("afterwards")
    flush(log)
    *lines, dropped, afterwards = stream.messages()
    assert lines == ["first", *(f"line {number}" for number in range(100))]
    assert dropped == "31 lines of this log were dropped: standard output is read too slowly"
    assert afterwards == "afterwards"


def test_a_reader_that_never_reads_does_not_keep_the_process(log, stream, monkeypatch):
    monkeypatch.setattr("serving.logs._STUCK_S", 0.01)
    stream.is_read.clear()
    log.info("first")
    flush(log)
    assert stream.writes == []
    stream.is_read.set()


def test_lines_are_written_together_in_what_a_pipe_takes_whole(log, stream):
    stream.is_read.clear()
    log.info("first")
    assert stream.has_begun.wait(DEADLINE_S)
    for _ in range(30):
        log.info("x" * 500)
    log.info("y" * 5000)
    stream.is_read.set()
    flush(log)
    sizes = [len(text) for text in stream.writes]
    assert all(text.endswith("\n") for text in stream.writes)
    assert len(sizes) < 10
    assert max(sizes[:-1]) <= 4096
    assert stream.writes[-1].count("\n") == 1


def test_a_record_that_cannot_be_told_is_told_of_as_logging_does(log, stream, capsys, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", True)  # the command line switches it off, in tests too
    log.info("%d", "text")
    log.info("next")
    flush(log)
    assert stream.messages() == ["next"]
    assert "--- Logging error ---" in capsys.readouterr().err


def test_a_closed_output_stops_nobody(log, stream, monkeypatch):
    def write(_: str) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(stream, "write", write)
    log.info("first")
    flush(log)
    monkeypatch.undo()
    log.info("second")
    flush(log)
    assert stream.messages() == ["second"]


@pytest.mark.parametrize(
    ("level", "written"),
    [("debug", ["ours", "theirs", "ours"]), ("info", ["theirs", "ours"]), ("warning", ["ours"])],
)
def test_the_level_is_a_setting_and_pillows_debug_lines_are_nobodys(level, written):
    code = f"""
import logging
from serving.logs import configure_logging
configure_logging({level!r})
logging.getLogger("serving.observer").debug("ours")
logging.getLogger("PIL").debug("theirs")
logging.getLogger("PIL").info("theirs")
logging.getLogger("serving.observer").warning("ours")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert [json.loads(line)["message"] for line in ended.stdout.splitlines()] == written


def test_nothing_is_lost_at_the_end():
    code = """
import logging, os
from serving.logs import configure_logging
configure_logging()
for number in range(5000):
    logging.getLogger("serving").info(number)
logging.shutdown()
os._exit(0)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert [int(json.loads(line)["message"]) for line in ended.stdout.splitlines()] == list(range(5000))


def test_processes_that_share_an_output_do_not_mix_their_lines():
    code = """
import logging, sys
from serving.logs import configure_logging
configure_logging()
for number in range(2000):
    logging.getLogger("serving").info("x" * (number % 700))
"""
    reading, writing = os.pipe()
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=writing, cwd=ROOT) for _ in range(3)]
    os.close(writing)
    with contextlib.closing(os.fdopen(reading)) as output:
        lines = output.read().splitlines()
    assert [process.wait(DEADLINE_S) for process in processes] == [0] * 3
    assert len(lines) == 6000
    assert sum(len(json.loads(line)["message"]) for line in lines) == 3 * sum(number % 700 for number in range(2000))
