"""The WebSocket: `glimpse.v1`, as `docs/protocol.md` describes it.

Promise: a socket is sent every event of its stream once and in order, whatever its client does; a client
that says something that cannot be used is told so and harms nobody; one that cannot keep up is let go,
and comes back to what it missed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from hub.actions import Actions, BeyondTheLog, NotFound
from hub.api.auth import Auth
from hub.api.problems import Problem, going_down, unavailable
from hub.config import Config
from hub.live.allowance import TOO_MANY_FRAMES_REASON, Allowance
from hub.live.close_codes import CloseCode
from hub.live.connections import Connections, CredentialGone, TooManyListeners, Turnstile
from hub.live.extension import extension
from hub.live.frames import Connect, Connected, ConnectedUser, Error, Seen, Viewing, decode
from hub.live.listener import Listener
from hub.live.socket import CloseSocket, Disconnected, Socket, Writer
from hub.model import User, is_id
from hub.store.away import DatabaseAway
from hub.store.credentials import Credential
from hub.wire import encode, settings_view

logger = logging.getLogger(__name__)

SOCKET_PATH = "/api/v1/ws"
SUBPROTOCOL = "glimpse.v1"
NO_BINARY = "binary frames are not part of the protocol"
UPGRADE = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
LEFT = 1005
"""Stands for no code at all (RFC 6455, 7.1.5): the metrics have it for a client that left."""

NEWCOMERS_A_TURN = 4
"""How many clients are let in during one turn of the event loop."""


class Sockets:
    """The ASGI endpoint of the WebSocket."""

    def __init__(
        self,
        auth: Auth,
        actions: Actions,
        connections: Connections,
        config: Config,
        *,
        on_close: Callable[[int], None] = lambda _code: None,
    ) -> None:
        """`on_close` is told each socket's close code."""
        self._auth = auth
        self._actions = actions
        self._connections = connections
        self._config = config
        self._on_close = on_close
        self._newcomers: set[asyncio.Timeout] = set()
        self._door = Turnstile(NEWCOMERS_A_TURN)

    def go_down(self) -> None:
        """Stop waiting for connect frames: the server is going down."""
        for deadline in self._newcomers:
            if not deadline.expired():
                deadline.reschedule(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        if self._connections.draining:
            await websocket.send_denial_response(going_down().response())
            return
        try:
            credential, claimed = await self._auth.of_socket(websocket)
        except Problem as problem:
            await websocket.send_denial_response(problem.response())
            return
        except DatabaseAway:
            await websocket.send_denial_response(unavailable("The database is away; come back in a moment.").response())
            return
        offered = scope["subprotocols"]
        await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        socket = Socket(websocket, self._config.send_seconds)
        try:
            if offered and SUBPROTOCOL not in offered:
                raise CloseSocket(CloseCode.NOT_THE_PROTOCOL, f"offer the subprotocol {SUBPROTOCOL}")
            if claimed and credential is None:
                raise CloseSocket(CloseCode.NOT_AUTHENTICATED, "the token is not valid")
            base_url = self._auth.base_url(websocket)
            # The socket may stay for days: let go of what was only needed to let it in.
            scope["headers"] = []
            await self._follow(socket, *await self._let_in(socket, credential, base_url))
        except CloseSocket as closing:
            self._on_close(closing.code)
            await socket.close(closing.code, closing.reason)
        except Disconnected:
            self._on_close(extension(scope).get("closed", LEFT))
        except TimeoutError:
            self._on_close(CloseCode.TOO_SLOW)
            socket.abort()
        except DatabaseAway:
            self._on_close(CloseCode.TRY_AGAIN_LATER)
            await socket.close(CloseCode.TRY_AGAIN_LATER, "try again in a moment")

    async def _let_in(self, socket: Socket, credential: Credential | None, base_url: str) -> tuple[Listener, Connected]:
        """Take the connect frame. Returns the socket's listener, which stands where its client does, and the answer."""
        connect = await self._connect_frame(socket)
        await self._door.passed()
        if connect.token is not None:
            credential = await self._auth.by_token(connect.token)
        if credential is None:
            raise CloseSocket(CloseCode.NOT_AUTHENTICATED, "no valid token, and no session")
        try:
            listener, user, recovered = await self._connections.join(
                credential, connect.stream, connect.after, base_url, "socket"
            )
        except TooManyListeners:
            raise CloseSocket(CloseCode.TOO_MANY_SOCKETS, "this user has too many sockets open") from None
        except CredentialGone:
            raise CloseSocket(CloseCode.NOT_AUTHENTICATED, "the credential was revoked") from None
        return listener, _connected(user, recovered, self._config.heartbeat_seconds)

    async def _connect_frame(self, socket: Socket) -> Connect:
        frame = await self._first_frame(socket)
        if frame is None:
            raise CloseSocket(CloseCode.NOT_THE_PROTOCOL, NO_BINARY)
        try:
            connect = decode(frame)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise CloseSocket(CloseCode.NOT_THE_PROTOCOL, f"not a connect frame: {error}") from None
        if not isinstance(connect, Connect):
            raise CloseSocket(CloseCode.NOT_THE_PROTOCOL, "the first frame must be connect")
        return connect

    async def _first_frame(self, socket: Socket) -> str | None:
        # `go_down` may have passed while the client was being let in.
        patience = 0 if self._connections.draining else self._config.connect_seconds
        try:
            async with asyncio.timeout(patience) as deadline:
                self._newcomers.add(deadline)
                try:
                    return await socket.receive()
                finally:
                    self._newcomers.discard(deadline)
        except TimeoutError:
            if self._connections.draining:
                raise CloseSocket(CloseCode.GOING_DOWN, "the server is going down") from None
            raise CloseSocket(CloseCode.NO_CONNECT, "no connect frame came") from None

    async def _follow(self, socket: Socket, listener: Listener, connected: Connected) -> None:
        try:
            await socket.send(encode(connected))
            async with asyncio.TaskGroup() as group:
                writer = Writer(socket, listener, self._connections, group, self._config.heartbeat_seconds)
                try:
                    await self._read(socket, listener)
                finally:
                    writer.stop()
        except ExceptionGroup as ended:
            # The writer's reason comes first: it knows why the server wants to end.
            raise ended.exceptions[0] from None
        finally:
            self._connections.remove(listener)

    async def _read(self, socket: Socket, listener: Listener) -> None:
        # Our own server has counted all frames by now; another server shows only the messages.
        allowance = Allowance(time.monotonic())
        while True:
            frame = await socket.receive()
            if not allowance.take(1, time.monotonic()):
                raise CloseSocket(CloseCode.TOO_MANY_FRAMES, TOO_MANY_FRAMES_REASON)
            if listener.closing is not None:
                # Do nothing: the credential may be revoked, while the writer still waits for a slow client to say so.
                continue
            error = await self._use(frame, listener.user_id)
            if error is not None:
                await socket.send(encode(error))

    async def _use(self, frame: str | None, user_id: str) -> Error | None:
        """Do what a frame asks; the error to answer, if it could not be used."""
        if frame is None:
            return Error("bad_frame", NO_BINARY)
        try:
            said = decode(frame)
        except (msgspec.MsgspecError, RecursionError) as error:
            return Error("bad_frame", str(error))
        try:
            if isinstance(said, Viewing):
                if not is_id(said.message_id):
                    raise NotFound(said.message_id)
                await self._actions.view(user_id, said.message_id)
            elif isinstance(said, Seen):
                await self._actions.mark_seen(user_id, said.sequence)
            else:
                return Error("bad_frame", "this socket is connected already")
        except NotFound:
            return Error("not_found", "there is no such message")
        except BeyondTheLog:
            return Error("beyond_the_log", "the log has not come to that sequence")
        except DatabaseAway:
            return Error("unavailable", "the database is away; say it again in a moment")
        return None


async def refuse_without_upgrade(_request: Request) -> Response:
    """The answer to a request at the WebSocket's address that does not ask for one, or asks for another version (RFC
    9110, 15.5.22; RFC 6455, 4.4). Mostly its client did ask, but a proxy has not passed that on.
    """
    detail = (
        "There is a WebSocket of version 13 at this address: ask for an upgrade, and have each proxy before the hub"
        " pass it on."
    )
    return Problem(426, "upgrade-required", detail, headers=UPGRADE).response()


def _connected(user: User, recovered: bool, heartbeat: float) -> Connected:
    return Connected(
        user=ConnectedUser(user.id, user.email, user.name),
        settings=settings_view(user.settings),
        sequence=user.sequence,
        seen_sequence=user.seen_sequence,
        recovered=recovered,
        heartbeat=int(heartbeat) if heartbeat == int(heartbeat) else heartbeat,
    )
