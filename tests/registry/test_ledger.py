import dataclasses
import json
import logging
import multiprocessing

import pytest

from tasks.errors import RegistryError
from tasks.registry.ledger import Entry, Ledger, history

INTENT = Entry(
    id="a1",
    time="2026-11-20T04:35:12.123+00:00",
    model="m",
    who="mia",
    action="promote",
    from_version=3,
    to_version=4,
    previous_version=2,
    why="better by 0.4 points",
    gate_digest="f" * 64,
    phase="intent",
)
DONE = dataclasses.replace(INTENT, phase="done", outcome="completed")


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "home" / "ledger.jsonl")


def test_a_ledger_that_does_not_exist_is_empty(ledger):
    assert ledger.read() == ()
    assert ledger.open_intent("m") is None
    assert history(ledger) == []


def test_entries_come_back_in_order(ledger):
    ledger.append(INTENT)
    ledger.append(DONE)
    assert ledger.read() == (INTENT, DONE)
    assert len(ledger.path.read_text().splitlines()) == 2


def test_the_open_intent_is_the_one_that_nothing_closed(ledger):
    ledger.append(INTENT)
    assert ledger.open_intent("m") == INTENT
    assert ledger.open_intent("another model") is None
    ledger.append(DONE)
    assert ledger.open_intent("m") is None
    later = dataclasses.replace(INTENT, id="b2")
    ledger.append(later)
    assert ledger.open_intent("m") == later


@pytest.mark.parametrize("cut", [1, 20, 200, -2], ids=["first byte", "in a key", "in a value", "before the brace"])
def test_a_line_cut_short_is_reported_and_moved_aside(ledger, caplog, cut):
    ledger.append(INTENT)
    torn = (json.dumps(dataclasses.asdict(DONE)) + "\n").encode()[:cut]
    with ledger.path.open("ab") as stream:
        stream.write(torn)
    with caplog.at_level(logging.WARNING):
        assert ledger.read() == (INTENT,)
    assert "cut short by a crash" in caplog.text
    ledger.append(DONE)
    assert ledger.read() == (INTENT, DONE)
    assert ledger.torn_path.read_bytes() == torn + b"\n"


def test_a_last_line_that_lacks_only_its_end_counts(ledger):
    ledger.append(INTENT)
    ledger.path.write_bytes(ledger.path.read_bytes().removesuffix(b"\n"))
    assert ledger.read() == (INTENT,)
    ledger.append(DONE)
    assert ledger.read() == (INTENT, DONE)
    assert not ledger.torn_path.exists()


@pytest.mark.parametrize("line", [b"not json\n", b'{"id": "a1"}\n', b"[1, 2]\n"])
def test_a_whole_line_that_is_no_entry_is_an_error_with_its_place(ledger, line):
    ledger.append(INTENT)
    with ledger.path.open("ab") as stream:
        stream.write(line)
    ledger.append(DONE)
    with pytest.raises(RegistryError, match=r"ledger.jsonl:2 is not a ledger entry"):
        ledger.read()


def test_a_ledger_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryError, match=r"cannot be written.*make room or give write access"):
        Ledger(tmp_path / "file" / "ledger.jsonl").append(INTENT)


def append_many(path, who, count):
    for number in range(count):
        Ledger(path).append(dataclasses.replace(INTENT, id=f"{who}{number}", who=who, why="x" * 5000))


def test_writers_of_several_processes_do_not_mix_their_lines(ledger):
    workers = [multiprocessing.Process(target=append_many, args=(ledger.path, who, 10)) for who in "abc"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    entries = ledger.read()
    assert len(entries) == 30
    for who in "abc":
        assert [entry.id for entry in entries if entry.who == who] == [f"{who}{number}" for number in range(10)]


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (INTENT, "2026-11-20T04:35:12Z  promote   3 -> 4      mia: better by 0.4 points"),
        (
            dataclasses.replace(INTENT, from_version=None),
            "2026-11-20T04:35:12Z  promote   - -> 4      mia: better by 0.4 points",
        ),
        (
            dataclasses.replace(INTENT, action="rollback", to_version=2, why="slow"),
            "2026-11-20T04:35:12Z  rollback  3 -> 2      mia: slow",
        ),
        (
            dataclasses.replace(INTENT, action="reject", why="crashes"),
            "2026-11-20T04:35:12Z  reject    4           mia: crashes",
        ),
    ],
    ids=["promote", "first release", "rollback", "reject"],
)
def test_history_has_a_line_for_each_transition(ledger, entry, line):
    ledger.append(entry)
    assert history(ledger) == [f"{line} [open]"]
    ledger.append(dataclasses.replace(entry, phase="done", outcome="completed"))
    assert history(ledger) == [line]


def test_history_says_what_was_undone(ledger):
    ledger.append(INTENT)
    ledger.append(dataclasses.replace(DONE, outcome="undone"))
    (line,) = history(ledger)
    assert line.endswith("[undone]")
