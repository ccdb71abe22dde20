"""The extension of ASGI by which our own server lends out a connection's transport.

Promise: under another server it is not there, and whoever asks for it goes ASGI's own way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TRANSPORT_EXTENSION = "glimpse.transport"
"""In every `scope["extensions"]` under our own server: `{"transport": asyncio.Transport}`, to measure and to abort.

For a WebSocket also `"frame"`: called with a frame as it goes over the wire it writes it at once and returns True, or
it returns False, and the application has to send as ever. One that is encoded once for a thousand sockets
costs each of them a write; uvicorn's way decodes it and encodes it again for each. And `"closed"`: the code with
which the server itself has closed a client's socket, once it has, because of what lies below the messages.
"""


def extension(scope: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the server has put under `TRANSPORT_EXTENSION`; empty under a server that is not ours."""
    found: Mapping[str, Any] = scope.get("extensions", {}).get(TRANSPORT_EXTENSION, {})
    return found


def drop(scope: Mapping[str, Any]) -> None:
    """Cut off the client of an ASGI `scope` at once, with what waits in its connection, where the server lets us.

    A close in order waits until all of it is read, which a client that does not read never does.
    """
    transport = extension(scope).get("transport")
    if transport is not None:
        transport.abort()
