import json
import os
import subprocess
import sys

import pytest

from tasks.rollout.lease import LOCK, TOKEN, Lease, LeaseError, read_token

HOLDER = """
import sys
from pathlib import Path
from tasks.rollout.lease import Lease
lease = Lease.acquire(Path(sys.argv[1]))
print(lease.token, flush=True)
input()
"""


def test_the_token_grows_with_each_holder(tmp_path):
    tokens = []
    for _ in range(3):
        lease = Lease.acquire(tmp_path)
        lease.check()
        tokens.append(lease.token)
        lease.release()
    assert tokens == [1, 2, 3]


def test_a_second_controller_is_told_who_holds_it_and_a_kill_frees_it(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "1\n"
        with pytest.raises(LeaseError, match=rf"process {holder.pid}, since .* there can be one: .*`evergreen down`"):
            Lease.acquire(tmp_path)
        assert read_token(tmp_path) == 1, "who did not get it has used no token"
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
    lease = Lease.acquire(tmp_path)
    assert lease.token == 2
    lease.release()


def test_a_lock_file_that_was_replaced_is_a_lost_lease(tmp_path):
    first = Lease.acquire(tmp_path)
    (tmp_path / LOCK).unlink()
    with pytest.raises(LeaseError, match="is not the file that this controller locked"):
        first.check()
    second = Lease.acquire(tmp_path)
    with pytest.raises(LeaseError, match="lost"):
        first.check()
    second.check()
    for lease in (first, second):
        lease.release()


def test_a_higher_token_is_a_lost_lease(tmp_path):
    lease = Lease.acquire(tmp_path)
    (tmp_path / TOKEN).write_text("9\n")
    with pytest.raises(LeaseError, match="its token is 9, this controller has 1"):
        lease.check()
    lease.release()


def test_a_damaged_token_is_refused_and_never_counted_from_nought(tmp_path):
    (tmp_path / TOKEN).write_text("")
    with pytest.raises(LeaseError, match="holds no number"):
        Lease.acquire(tmp_path)


def test_the_lock_file_says_who(tmp_path):
    lease = Lease.acquire(tmp_path)
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    lease.release()
