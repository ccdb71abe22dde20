"""The yardstick for hits: an ASGI application that answers the pixel's headers and image, and stores nothing."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from hub.config import Config
from hub.tracking.pixel import GIF, HEADERS


def create_bare(_config: Config) -> ASGIApp:
    """The application; the hub's server serves it as it serves the hub."""
    return bare


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every request alike."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": GIF})
