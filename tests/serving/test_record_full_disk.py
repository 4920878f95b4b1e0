"""A disk that is really full: a small one in memory, which only root may mount."""

import os
import subprocess

import pytest

from tests.serving.recording import make_images, make_prediction, make_recorder, names, read_lines, until

DISK_BYTES = 512 * 1024


@pytest.fixture
def small_disk(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_costs_records_and_no_more(small_disk, monkeypatch, caplog):
    monkeypatch.setattr("serving.recorder._RETRY_S", 0.01)
    folder = small_disk / "log"
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (DISK_BYTES - 100_000))
    recorder = make_recorder(folder, has_images=True)
    images, prediction = make_images(1), make_prediction(1)
    count = 0

    def offer() -> None:
        nonlocal count
        recorder.offer(f"req-{count}", images, prediction)
        count += 1

    def offer_until(is_so) -> None:
        until(lambda: (offer(), is_so())[1])

    offer_until(lambda: recorder.counts.failed > 3)
    assert recorder.is_failing
    written = recorder.counts.written
    assert written > 10
    ballast.unlink()
    offer_until(lambda: not recorder.is_failing and recorder.counts.written > written + 10)
    recorder.close()
    seen = [record["request_id"] for record in read_lines(folder)]
    assert seen == [f"req-{number}" for number in range(count)]  # the queue held what the disk did not take
    assert names(folder)
    assert recorder.counts.dropped == 0
    assert caplog.text.count("cannot be written") == 1
