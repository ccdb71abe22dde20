"""The front: what every request passes first.

Promise: a pixel and an open socket cost nothing they do not need, so they are served ahead of the router; every
request but a pixel's has an id, in its answer and in each log line written for it. No browser takes an answer for
anything else than its content type says.
"""

from __future__ import annotations

import re

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from hub.api.problems import nowhere
from hub.live.extension import Run, Write
from hub.live.websocket import SOCKET_PATH
from hub.logs import REQUEST_ID
from hub.model import new_id
from hub.tracking.snippet import PREFIX, SUFFIX

USABLE_ID = re.compile(r"[A-Za-z0-9-]{20,200}")
"""The ids that Heroku's router sends and other proxies may. Any other is replaced, so that nothing odd is logged."""

ANSWERS = ("http.response.start", "websocket.accept", "websocket.http.response.start")
"""The messages by which an ASGI application begins an answer."""


class Front(Starlette):
    """The application; it calls the endpoints `pixel` and `socket` of its `state` directly."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Each layer behind this would cost every pixel time, and every open socket memory.
        if _is_pixel(scope):
            await self.state.pixel(scope, receive, send)
        elif scope["type"] == "websocket" and scope["path"] == SOCKET_PATH:
            await _with_id(self.state.socket, scope, receive, send)
        elif scope["type"] == "websocket":
            await _with_id(_refuse, scope, receive, send)
        elif scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
        else:
            await _with_id(super().__call__, scope, receive, send)

    def take(self, scope: Scope, write: Write, run: Run) -> bool:
        """As `Take`: a pixel is served without a task."""
        if not _is_pixel(scope) or scope["method"] != "GET":
            return False
        self.state.pixel.take(scope, write, run)
        return True


async def _with_id(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    # The blanks behind a header's value are no part of it (RFC 9110, 5.5), but uvicorn's parser leaves them there.
    scope["headers"] = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
    given = Headers(scope=scope).get("x-request-id", "")
    request_id = given if USABLE_ID.fullmatch(given) else new_id()

    async def send_with_id(message: Message) -> None:
        if message["type"] in ANSWERS:
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = request_id
            headers["x-content-type-options"] = "nosniff"
        await send(message)

    token = REQUEST_ID.set(request_id)
    try:
        await app(scope, receive, send_with_id)
    finally:
        REQUEST_ID.reset(token)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    await WebSocket(scope, receive, send).send_denial_response(nowhere().response())


def _is_pixel(scope: Scope) -> bool:
    return (
        scope["type"] == "http"
        and scope["path"].startswith(PREFIX)
        and scope["path"].endswith(SUFFIX)
        and scope["method"] in ("GET", "HEAD")
    )
