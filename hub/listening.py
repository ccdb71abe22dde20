"""Listening: opens the port to serve on, or says in one line why it cannot."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import cast

from hub.tracking.address import authority

BACKLOG = 65_535
"""How many connections may wait to be accepted: as many as the kernel allows (`net.core.somaxconn`, 4096 by default). A
client that finds no room tries again after 1 s and after 3 s: of 5,000 that came back at once, hundreds had to."""


class CannotServe(Exception):
    """The server cannot start. The message is one line that says why and what to do."""


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket, for the block; `port` 0 takes a free one. Raises `CannotServe` if there cannot be one."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        dual = host == "::" and socket.has_dualstack_ipv6()
        listener = socket.create_server(
            cast(tuple[str, int], address[:2]), family=family, backlog=BACKLOG, dualstack_ipv6=dual
        )
    except (OSError, UnicodeError) as error:
        raise CannotServe(_why_not_listening(host, port, error)) from None
    with listener:
        yield listener


def _why_not_listening(host: str, port: int, error: OSError | UnicodeError) -> str:
    match error:
        case UnicodeError() | socket.gaierror() | OSError(errno=errno.EADDRNOTAVAIL):
            return f"{host[:80]!r} is no address of this machine: give one that is with --host"
        case OSError(errno=errno.EADDRINUSE):
            return f"port {port} is in use: stop what uses it, or give another with --port"
        case PermissionError():
            return f"port {port} is not allowed: give one from 1024 up with --port"
    return f"cannot serve at {host[:80]!r} port {port}: {error.strerror or error}; try another --host or --port"


def address(host: str, port: int) -> str:
    """Where a server that listens on `host` and `port` is found from its own machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{authority(host, port)}"
