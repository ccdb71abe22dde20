"""The extension of ASGI by which our own server lends out a connection's transport.

Promise: under another server the extension is not there, and what uses it goes ASGI's own way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
