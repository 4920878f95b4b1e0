"""The prediction log of servers as processes: several workers, told to stop, killed, and read by the pipeline."""

import signal
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from tasks.data.prediction_log import Damage, list_segments, read_feedback, read_predictions
from tests.serving.processes import DEADLINE_S, PNG, PNG_HEADERS, Server, run_server, until, wait_for
from tests.serving.recording import names, open_names

REQUESTS = 60
WRITTEN = 'evergreen_records_total{result="written"}'


def ask(server: Server, names: list[str]) -> None:
    close = {"connection": "close"}  # a connection for each, so that all workers get some
    with httpx.Client(base_url=server.url, headers={**PNG_HEADERS, **close}, timeout=DEADLINE_S) as client:
        for name in names:
            assert client.post("/predict", content=PNG, headers={"x-request-id": name}).status_code == 200


def read(reader, folder: Path) -> list[dict]:
    damage = Damage()
    rows = pa.Table.from_batches(reader(list_segments(folder), damage)).to_pylist()
    assert damage == Damage()
    return rows


@pytest.mark.parametrize("workers", ["1", "2"])
def test_told_to_stop_it_leaves_a_complete_log(tiny_bundle, tmp_path, workers):
    folder = tmp_path / "log"
    asked = [f"req-{number}" for number in range(REQUESTS)]
    with run_server(tiny_bundle, "--record-folder", str(folder), "--workers", workers) as server:
        until(server.is_ready)
        ask(server, asked)
        answer = httpx.post(f"{server.url}/feedback", json={"request_id": "req-7", "label": "bag"})
        assert answer.status_code == 202
        until(lambda: server.metric(WRITTEN) == REQUESTS + 1)
        assert server.stop() == 0
    assert open_names(folder) == []
    assert sorted(row["request_id"] for row in read(read_predictions, folder)) == sorted(asked)
    (feedback,) = read(read_feedback, folder)
    assert (feedback["request_id"], feedback["label"]) == ("req-7", "bag")


def test_killed_it_loses_nothing_that_its_metrics_called_written(tiny_bundle, tmp_path):
    folder = tmp_path / "log"
    asked = [f"req-{number}" for number in range(REQUESTS)]
    with run_server(tiny_bundle, "--record-folder", str(folder), "--workers", "1") as server:
        wait_for(server.lines, "ready")
        ask(server, asked)
        until(lambda: server.metric(WRITTEN) == REQUESTS)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(DEADLINE_S)
    assert (len(names(folder)), len(open_names(folder))) == (0, 1)
    with run_server(tiny_bundle, "--record-folder", str(folder), "--workers", "1") as server:
        wait_for(server.lines, "ready")
        until(lambda: names(folder))
        assert [row["request_id"] for row in read(read_predictions, folder)] == asked
        assert server.stop() == 0


def test_a_killed_workers_segment_is_completed_by_the_one_that_takes_its_place(tiny_bundle, tmp_path):
    folder = tmp_path / "log"
    asked = [f"req-{number}" for number in range(REQUESTS)]
    with run_server(tiny_bundle, "--record-folder", str(folder), "--workers", "2") as server:
        until(server.is_ready)
        ask(server, asked)
        until(lambda: server.metric(WRITTEN) == REQUESTS)
        assert (len(names(folder)), len(open_names(folder))) == (0, 2)
        server.workers()[0].kill()
        until(lambda: names(folder))
        assert len(open_names(folder)) == 1  # the living one's
        assert server.stop() == 0
    assert open_names(folder) == []
    assert sorted(row["request_id"] for row in read(read_predictions, folder)) == sorted(asked)


def test_two_versions_that_see_the_same_requests_record_the_same(tiny_bundle, tmp_path):
    folder = tmp_path / "log"
    asked = [f"req-{number}" for number in range(REQUESTS)]
    options = ("--record-folder", str(folder), "--workers", "1", "--record-share", "0.5")
    with (
        run_server(tiny_bundle, *options) as champion,
        run_server(tiny_bundle, *options, "--model-version", "13") as canary,
    ):
        for server in (champion, canary):
            wait_for(server.lines, "ready")
            ask(server, asked)
        assert [server.stop() for server in (champion, canary)] == [0, 0]
    rows = read(read_predictions, folder)
    seen = [sorted(row["request_id"] for row in rows if row["model_version"] == version) for version in ("12", "13")]
    assert seen[0] == seen[1]
    assert 15 < len(seen[0]) < 45
    assert len({row["confidence"] for row in rows}) == 1


def test_a_folder_that_cannot_be_written_stops_no_prediction(tiny_bundle, tmp_path):
    blocked = tmp_path / "log"
    blocked.write_text("a file stands here")
    with run_server(tiny_bundle, "--record-folder", str(blocked), "--workers", "1") as server:
        wait_for(server.lines, "the prediction log cannot be written, and is tried again: [Errno 17] File exists")
        until(server.is_ready)
        ask(server, ["a", "b"])
        answer = httpx.post(f"{server.url}/feedback", json={"request_id": "a", "label": "bag"})
        assert answer.status_code == 503
        blocked.unlink()
        until(lambda: server.metric(WRITTEN) == 2)
        assert server.stop() == 0
    assert [row["request_id"] for row in read(read_predictions, blocked)] == ["a", "b"]
