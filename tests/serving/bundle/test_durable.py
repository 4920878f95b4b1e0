import os
import threading
from pathlib import Path

import pytest

from serving.bundle.durable import DRAFT, read_json, replacing, write_durably, write_json


def test_a_file_is_written_with_its_folder_and_read_back(tmp_path):
    path = tmp_path / "new" / "state.json"
    write_json(path, {"name": "Übergang", "port": 1})
    assert read_json(path) == {"name": "Übergang", "port": 1}
    assert path.read_bytes() == '{\n "name": "Übergang",\n "port": 1\n}\n'.encode()


def test_the_file_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "other").write_text("")
    write_durably(tmp_path / "file", "text")  # a bundle is copied into images that another user runs
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_content_and_names_are_synced_in_that_order_around_the_rename(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")
    seen = []

    def note(handle):
        seen.append((str(Path(f"/proc/self/fd/{handle}").readlink()), path.read_text()))

    monkeypatch.setattr(os, "fsync", note)
    write_durably(path, "new")
    (draft, before), (folder, after) = seen
    assert (draft.startswith(str(tmp_path / f"{DRAFT}file-")), before) == (True, "old")
    assert (folder, after) == (str(tmp_path), "new")


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "file"
    write_durably(path, "old")

    def fail_half_way():
        with replacing(path) as draft:
            draft.write_text("ne")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fail_half_way()
    assert [found.name for found in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


def test_writers_at_once_leave_one_of_their_texts(tmp_path):
    path = tmp_path / "file"
    texts = [str(number) * 50_000 for number in range(4)]
    writers = [threading.Thread(target=write_durably, args=(path, text)) for text in texts]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_text() in texts
    assert list(tmp_path.iterdir()) == [path]


def test_no_file_is_none(tmp_path):
    assert read_json(tmp_path / "none.json") is None


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"{", "is not JSON"), (b"\xff", "is not JSON"), (b"[1]", "holds list, not an object")],
)
def test_what_is_no_json_object_is_an_error(tmp_path, data, message):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_json(tmp_path / "file")
