"""Folders of metrics: gone with their servers, or removed by the next one."""

import subprocess
import sys
from pathlib import Path

import pytest

from serving.metrics_folder import make_metrics_folder, remove_abandoned

KILL_ITSELF = """
import os, pathlib, signal, sys
from serving.metrics_folder import make_metrics_folder
with make_metrics_folder(pathlib.Path(sys.argv[1])) as folder:
    (folder / "counter_0.db").write_bytes(b"figures")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_folder_is_gone_with_its_context(tmp_path):
    with make_metrics_folder(tmp_path) as folder:
        (folder / "counter_0.db").write_bytes(b"figures")
        assert folder.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no locks of files")
def test_what_a_killed_server_left_is_removed_by_the_next_and_what_others_use_stays(tmp_path):
    (tmp_path / "evergreen-metrics-new").mkdir()  # one that another server is just making
    (tmp_path / "other").mkdir()
    with make_metrics_folder(tmp_path) as running:
        command = [sys.executable, "-c", KILL_ITSELF, str(tmp_path)]
        subprocess.run(command, check=False, cwd=Path(__file__).parents[2])
        assert len(list(tmp_path.iterdir())) == 4
        remove_abandoned(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {running.name, "evergreen-metrics-new", "other"}
        with make_metrics_folder(tmp_path):
            assert running.exists()
