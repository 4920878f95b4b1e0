"""Addresses: taken alone, shared by workers, refused when they are another's."""

import errno
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from serving.listeners import Address

IS_SPREAD = sys.platform == "linux"


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def can_connect(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=10).close()
    except ConnectionRefusedError:
        return False
    return True


def test_an_address_of_one_listens_at_once():
    address = Address("127.0.0.1", 0)
    with address.take():
        address.close()
        assert can_connect("127.0.0.1", address.port)
    assert not can_connect("127.0.0.1", address.port)


@pytest.mark.skipif(not IS_SPREAD, reason="elsewhere workers share one socket")
def test_an_address_of_several_listens_where_a_worker_does():
    address = Address("127.0.0.1", 0, is_shared=True)
    first, second = address.take(), address.take()
    assert first.getsockname() == second.getsockname() == ("127.0.0.1", address.port)
    assert not can_connect("127.0.0.1", address.port)
    for worker in (first, second):
        worker.listen()
    first.close()
    assert all(can_connect("127.0.0.1", address.port) for _ in range(10))
    second.close()
    assert not can_connect("127.0.0.1", address.port)
    address.close()


@pytest.mark.parametrize("is_shared", [False, True])
def test_an_address_where_others_listen_cannot_be_had(is_shared):
    first = Address("127.0.0.1", 0, is_shared=is_shared)
    with first.take() as worker:
        worker.listen()
        for wants_to_share in (False, True):
            with pytest.raises(OSError, match="Address already in use") as error:
                Address("127.0.0.1", first.port, is_shared=wants_to_share)
            assert error.value.errno == errno.EADDRINUSE
    first.close()


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize("is_shared", [False, True])
def test_the_address_of_all_interfaces_takes_both_versions(is_shared):
    address = Address("::", 0, is_shared=is_shared)
    with address.take() as worker:
        worker.listen()
        assert can_connect("::1", address.port)
        assert can_connect("127.0.0.1", address.port)
    address.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of files")
def test_the_limit_of_files_is_raised_to_what_the_system_allows():
    code = """
import resource
from serving.listeners import raise_file_limit
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
print(raise_file_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard > 100)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert ended.stdout == "True\n"
