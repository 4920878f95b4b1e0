"""Addresses that a server listens on, alone or with several workers, and the files that it may open."""

import contextlib
import socket
import sys

BACKLOG = 2048  # connections that wait to be accepted; the system may hold fewer

_FILES = 1_000_000  # where nobody limits them

_IS_SPREAD = sys.platform == "linux"  # elsewhere, of the sockets that share a port one gets all connections
_KEEPALIVE = {  # for peers that are gone without a word: asked after 30 s, given up after 60 s
    "TCP_KEEPIDLE": 30,
    "TCP_KEEPINTVL": 10,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 60_000,  # ms that what was sent may stay without an acknowledgement
}


class Address:
    """An address that this process and its workers have to themselves; with port 0 one that was free.

    Raises:
        OSError: it cannot be had.
    """

    def __init__(self, host: str, port: int, *, is_shared: bool = False) -> None:
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._is_spread = is_shared and _IS_SPREAD
        is_v6 = self._family == socket.AF_INET6
        self._socket = socket.create_server((host, port), family=self._family, backlog=BACKLOG, dualstack_ipv6=is_v6)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        if self._is_spread:  # the first socket showed that nobody listens here; this one holds the place
            self._socket.close()
            self._socket = self._bind()
        else:
            _watch_peers(self._socket)

    def take(self) -> socket.socket:
        """Return a socket for one worker, which closes it.

        Where the system spreads connections over the sockets of a port, it is one of its own, bound and not yet
        listening, and gone with its worker. Elsewhere, and for a lone worker, it is the one that listens already.
        """
        return self._bind() if self._is_spread else self._socket.dup()

    def close(self) -> None:
        """Let go of the address; sockets that were taken stay."""
        self._socket.close()

    def _bind(self) -> socket.socket:
        bound = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if self._family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            _watch_peers(bound)
            bound.bind((self.host, self.port))
        except OSError:
            bound.close()
            raise
        return bound


def raise_file_limit() -> int:
    """Let this process open as many files as the system allows, and return how many: each connection is one."""
    try:
        import resource  # noqa: PLC0415 - Unix
    except ImportError:
        return _FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS takes no infinity
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return _FILES if soft == resource.RLIM_INFINITY else soft


def _watch_peers(listener: socket.socket) -> None:
    """Have the system look for peers that are gone; each accepted connection inherits it."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
