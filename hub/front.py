"""The front: what every request passes first.

Promise: a pixel and an open socket cost nothing they do not need, so they are served ahead of the router; every
request but a pixel's has an id, in its answer and in each log line written for it.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.logs import REQUEST_ID
from hub.model import new_id
from hub.tracking.pixel import PREFIX, SUFFIX

SOCKET_PATH = "/api/v1/ws"
USABLE_ID = re.compile(r"[A-Za-z0-9-]{20,200}")
"""What Heroku's router sends and other proxies may; anything else is replaced, so that nothing odd is logged."""


class Front:
    """ASGI middleware around the router. `scope["app"].state` has the endpoints `pixel` and `socket`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif _is_pixel(scope):
            await scope["app"].state.pixel(scope, receive, send)
        elif scope["type"] == "websocket" and scope["path"] == SOCKET_PATH:
            # Each layer of the router would be held in memory for as long as the socket is open.
            await _with_id(scope["app"].state.socket, scope, receive, send)
        else:
            await _with_id(self._app, scope, receive, send)


async def _with_id(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    given = Headers(scope=scope).get("x-request-id", "")
    request_id = given if USABLE_ID.fullmatch(given) else new_id()

    async def send_with_id(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            MutableHeaders(scope=message)["x-request-id"] = request_id
        await send(message)

    token = REQUEST_ID.set(request_id)
    try:
        await app(scope, receive, send_with_id)
    finally:
        REQUEST_ID.reset(token)


def _is_pixel(scope: Scope) -> bool:
    return (
        scope["type"] == "http"
        and scope["path"].startswith(PREFIX)
        and scope["path"].endswith(SUFFIX)
        and scope["method"] in ("GET", "HEAD")
    )
