"""What our own server adds to ASGI: a connection's transport, and answers that cost no task.

Promise: under another server neither is there, and what uses it goes ASGI's own way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from starlette.types import ASGIApp, Scope

Write: TypeAlias = Callable[[bytes, bytes], bool]
"""Writes the answer to a request at once: 200, these header lines, this body. False if that cannot be done now."""

Run: TypeAlias = Callable[[ASGIApp], None]
"""Has this application answer the request, in a task of its own."""

Take: TypeAlias = Callable[[Scope, Write, Run], bool]
"""The method `take` of an application that spares a request a task, which costs as much as all of its HTTP.

The server asks it about every HTTP request. True says that the application answers, now or later, by `write` or, where
that is refused, by `run`. False, or no such method: the application is called as ever.
"""

TRANSPORT_EXTENSION = "glimpse.transport"
"""In every `scope["extensions"]` under our own server: `{"transport": asyncio.Transport}`, to measure and to abort.

For a WebSocket also `"frame"`, a function of a frame as it goes over the wire: it writes the frame at once and returns
True, or returns False, and the application has to send as ever. A frame that is encoded once for a thousand sockets
costs each of them a write; uvicorn would decode it and encode it again for each. And `"closed"`: the code, once the
server itself has closed the client's socket because of something below the messages.
"""


def extension(scope: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the server has put under `TRANSPORT_EXTENSION`; empty under a server that is not ours."""
    found: Mapping[str, Any] = scope.get("extensions", {}).get(TRANSPORT_EXTENSION, {})
    return found


def drop(scope: Mapping[str, Any]) -> None:
    """Cut off the client of an ASGI `scope` at once, where the server lets us; what waits in its connection is lost.

    A close in order waits until the client has read all of that, which a client that does not read never does.
    """
    transport = extension(scope).get("transport")
    if transport is not None:
        transport.abort()
