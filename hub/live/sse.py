"""Server-sent events: the same streams for clients that cannot open a WebSocket.

Promise: the WebSocket's, with `Last-Event-ID` in the place of `after`. A stream ends by itself after
about ten minutes, so that a deployment looks like any other reconnect, and at once when the server stops.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hub.api.asked import Query
from hub.api.auth import Auth
from hub.api.problems import Problem, going_down, invalid
from hub.config import Config
from hub.live.connections import Connections, CredentialGone, TooManyListeners
from hub.live.extension import drop
from hub.live.listener import Listener
from hub.model import MOST_NUMBER, Stream
from hub.store.away import DatabaseAway

RETRY = b"retry: 2000\n\n"
"""Come back after so many milliseconds."""
GRACE_SECONDS = 30
"""sse-starlette 3.7 hears SIGTERM by itself, and cuts its streams off after this time. It is longer than the server
takes to end, so that the drain ends the streams first, with what they still had to say and a proper last chunk."""

HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


class Streams:
    """The endpoint of `GET /stream`."""

    def __init__(self, auth: Auth, connections: Connections, config: Config) -> None:
        self._auth = auth
        self._connections = connections
        self._config = config

    async def stream(self, request: Request) -> Response:
        """A stream of the asker's events. If there can be none now, an `EventSource` gets one that ends at once."""
        try:
            if self._connections.draining:
                raise going_down()
            return await self._begin(request)
        except (Problem, DatabaseAway) as error:
            is_for_now = isinstance(error, DatabaseAway) or error.status == 503
            # After a refusal an `EventSource` gives up: it comes back by itself only from a stream (HTML standard,
            # 9.2.3, 2026-11).
            if is_for_now and "text/event-stream" in request.headers.get("accept", ""):
                return Response(RETRY, media_type="text/event-stream", headers=HEADERS)
            raise

    async def _begin(self, request: Request) -> Response:
        credential = await self._auth.require(request)
        query = Query(request, "stream", "last_event_id")
        stream = _stream(query.text("stream"))
        after = _after(request.headers.get("last-event-id") or query.text("last_event_id"))
        if request.method == "HEAD":
            # The stream would never begin, and so never end: its listener would stay for ever.
            return Response(media_type="text/event-stream", headers=HEADERS)
        try:
            base_url = self._auth.base_url(request)
            listener, user, recovered = await self._connections.join(credential, stream, after, base_url, "stream")
        except TooManyListeners:
            raise Problem(
                429, "too-many-streams", "This user has too many streams open.", headers={"retry-after": "10"}
            ) from None
        except CredentialGone:
            raise Problem(401, "unauthenticated", "The credential was revoked.") from None
        return _Stream(
            self._events(listener, after, recovered, user.sequence),
            partial(self._connections.remove, listener),
            headers=HEADERS,
            ping=round(self._config.heartbeat_seconds) or 1,
            ping_message_factory=lambda: ServerSentEvent(comment="heartbeat"),
            send_timeout=self._config.send_seconds,
            shutdown_grace_period=GRACE_SECONDS,
        )

    async def _events(self, listener: Listener, after: int | None, recovered: bool, head: int) -> AsyncIterator[bytes]:
        ends = asyncio.get_running_loop().time() + self._config.stream_seconds * random.uniform(0.9, 1.1)
        # Without an id, an `EventSource` that has had no event could not come back to what it missed meanwhile.
        begins = b"id: %d\n" % head if after is None else b""
        yield begins + RETRY
        if not recovered:
            yield b'id: %d\nevent: reset\ndata: {"sequence":%d}\n\n' % (head, head)
        told = head if after is None or not recovered else after
        while (left := ends - asyncio.get_running_loop().time()) > 0:
            if not await listener.wait(min(left, self._config.heartbeat_seconds)):
                # Otherwise a client would come back to all that its stream has left out, or to more than is replayed.
                if listener.position > told:
                    told = listener.position
                    yield b"id: %d\n\n" % told
                continue
            if listener.closing is not None:
                return
            if listener.behind:
                await self._connections.catch_up(listener)
            for notice in listener.take():
                told = notice.sequence
                yield notice.sse


class _Stream(EventSourceResponse):
    """A stream that cuts off a client that does not read it, as a WebSocket does. `over` is called once it is over."""

    def __init__(self, content: AsyncIterator[bytes], over: Callable[[], None], **options: Any) -> None:
        super().__init__(content, **options)
        self._over = over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            try:
                await super().__call__(scope, receive, send)
            finally:
                # Not left to the content, which never begins if the client has not even read an earlier answer.
                self._over()
        except SendTimeoutError:
            drop(scope)
            # Wait until the server knows that the client is gone, or it would complain of an answer without an end.
            await receive()


def _stream(text: str | None) -> Stream:
    if text is None or text == "notifications":
        return "notifications"
    if text == "history":
        return "history"
    raise invalid("stream", "must be notifications or history")


def _after(text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 16) or int(text) > MOST_NUMBER:
        raise invalid("last_event_id", "must be the id of an event that came before")
    return int(text)
