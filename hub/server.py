"""The server: uvicorn with our limits, our drain and our exit.

Promise: once it serves it says in one line where, and if it cannot, in one line why. On SIGTERM, SIGINT or SIGHUP it
refuses no pixel until its sockets are closed in order, answers every request that reached it, flushes, and is gone
within 25 s with status 0; a second signal does no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any, TypeAlias, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.lifespan.on import LifespanOn, LifespanSendMessage

from hub.config import Config, ConfigError
from hub.last_resort import LastResort
from hub.listening import BACKLOG, CannotServe, address, listening
from hub.logs import configure_logging
from hub.output import put
from hub.signals import heeded
from hub.store.away import DatabaseAway
from hub.transport import HubHttp, HubState
from hub.transport_websocket import HubWebSocket
from hub.workers import Supervisor

AppFactory: TypeAlias = Callable[[Config], ASGIApp]
Drain: TypeAlias = Callable[[float], Awaitable[None]]

DRAIN_MARGIN_SECONDS = 3.0
ANSWER_SECONDS = 8
END_SECONDS = 24.0
"""How far the app's drain may overrun its time, how long the last answers may take, and how long the whole end,
the lifespan's included, may take."""

FRAME_BYTES = 64 * 1024
PING_SECONDS = 25.0
PONG_SECONDS = 20.0
"""A peer that is gone is dropped after both together: within a minute, and before Heroku's router ends a connection on
which nothing was sent for 55 s (devcenter.heroku.com, Request Timeout, 2026-11)."""

KEEP_ALIVE_SECONDS = 95
"""More than the 90 s for which Heroku's router keeps an idle connection (devcenter.heroku.com, HTTP Routing, 2026-11).
So the router never sends into a closing one."""

TICK_SECONDS = 0.05

GC_THRESHOLD = 10_000
"""How many new objects make the garbage collector look at them: a batch of hits makes thousands, and no cycle."""

logger = logging.getLogger(__name__)


def serve(
    app_factory: AppFactory,
    config: Config,
    *,
    host: str,
    serving: Callable[[], None] = lambda: None,
) -> int:
    """Serve until SIGTERM, SIGINT or SIGHUP; returns the exit status, 0 then and 1 if it could not start.

    `app_factory` makes the ASGI application from `config`. Each of several workers makes its own, so the factory must
    be importable by name. If the application has `state.drain`, a coroutine function, the server calls it at the end
    with the seconds over which to close the sockets and streams; from then on the application should refuse new ones.
    If the application has `state.failed`, a future, and that gets done, the server ends in order, and the future's text
    is why it could not start. Port 0 takes a free one. `serving` is called once requests are answered. Raises
    `ConfigError` if several workers would not hear of each other. The reason of a failed start is said on stderr.
    """
    if config.workers > 1 and config.redis_url is None:
        raise ConfigError(
            f"{config.workers} processes (--workers or WEB_CONCURRENCY) need REDIS_URL to hear of each other: "
            "set it, or serve with one"
        )
    try:
        with listening(host, config.port) as listener:
            configure_logging(config)
            if config.unread:
                logger.warning("these are no settings of the hub, and change nothing: %s", ", ".join(config.unread))

            def announce() -> None:
                put(sys.stdout, f"Glimpse is at {address(*listener.getsockname()[:2])}\n")
                serving()

            # Without a public address an event's source has the port in it: the one that was taken, if 0 was asked for.
            work = _Work(app_factory, replace(config, port=listener.getsockname()[1]), listener)
            if config.workers == 1:
                return work.run(announce)
            # The supervisor must not hold the port open: it would take connections that no worker answers any more.
            reason = Supervisor(config.workers, work, announce, listener.close).run()
            if reason is not None:
                raise CannotServe(reason)
            return 0
    except CannotServe as error:
        put(sys.stderr, f"glimpse: {' '.join(str(error).split())}\n")
        return 1
    except KeyboardInterrupt:
        return 0


@dataclass(frozen=True)
class _Work:
    """One process's part: an application of its own on the listener that all share. Picklable."""

    app_factory: AppFactory
    config: Config
    listener: socket.socket

    def __call__(self, report: Callable[[str], None]) -> int:
        """Run as a worker of a `Supervisor`: report to it, and stop when it is gone."""
        configure_logging(self.config)
        parent = multiprocessing.parent_process()

        def tell(reason: str) -> None:
            with contextlib.suppress(OSError):
                report(reason)

        try:
            return self.run(lambda: tell(""), None if parent is None else parent.sentinel)
        except CannotServe as error:
            tell(str(error))
            return 1
        except KeyboardInterrupt:
            return 0

    def run(self, serving: Callable[[], None], supervisor: int | None = None) -> int:
        """Serve, and call `serving` once requests are answered; `supervisor` is as in `HubServer`."""
        try:
            app = self.app_factory(self.config)
        except Exception:
            logger.debug("the application could not be made", exc_info=True)
            raise CannotServe(_why(traceback.format_exc())) from None
        settings = _settings(app)
        server = HubServer(settings, self.config.drain_seconds, serving, supervisor)
        try:
            server.run([self.listener])
        except SystemExit:
            if server.given_up:
                return 0
            raise CannotServe(server.startup_failure or "the server could not start") from None
        if server.failure:
            raise CannotServe(server.failure)
        return 0


class HubLifespan(LifespanOn):
    """uvicorn's lifespan, but it keeps why a start failed instead of logging the traceback, and can give a start up."""

    _running: asyncio.Task[None] | None = None
    startup_failure = ""
    given_up = False

    async def main(self) -> None:
        """Run the application's lifespan."""
        self._running = asyncio.current_task()
        await super().main()

    def give_up(self) -> None:
        """Cut the start off, if it is not over: the database may take minutes to answer or to be migrated."""
        if not self.startup_event.is_set() and self._running is not None:
            self.given_up = True
            self._running.cancel()

    async def send(self, message: LifespanSendMessage) -> None:
        """Take a message of the application's lifespan."""
        if message["type"] == "lifespan.startup.failed":
            logger.debug("the application could not start: %s", message.get("message"))
            self.startup_failure = _why(message.get("message", ""))
            message = {"type": "lifespan.startup.failed", "message": ""}
        await super().send(message)


class HubServer(uvicorn.Server):
    """uvicorn's server with a start that is announced and an end in order.

    The application's sockets are closed over `drain_seconds`. `serving` is called once requests are answered.
    `supervisor` is a file descriptor that becomes readable when the supervising process is gone, and this one has to
    end.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        drain_seconds: float,
        serving: Callable[[], None],
        supervisor: int | None = None,
    ) -> None:
        super().__init__(config)
        self.server_state = HubState()
        self._drain_seconds = drain_seconds
        self._serving = serving
        self._supervisor = supervisor
        self._last_resort = LastResort(END_SECONDS)
        self.failure = ""
        """In one line, why the application cannot serve after all, though it started; empty if it can."""

    @property
    def startup_failure(self) -> str:
        """In one line, why the application did not start; empty if it did."""
        return cast(HubLifespan, self.lifespan).startup_failure

    @property
    def given_up(self) -> bool:
        """Whether the start was cut off by a signal."""
        return cast(HubLifespan, self.lifespan).given_up

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals that ask for the end while the server runs, and ignore them from then on.

        uvicorn's own version raises the signal again at the end, so that a stop that was asked for looks like a crash,
        and it lets another signal cut the end of the interpreter short.
        """
        in_main_thread = threading.current_thread() is threading.main_thread()
        signals = heeded() if in_main_thread else ()
        for each in signals:
            signal.signal(each, self.handle_exit)
        yield
        for each in signals:
            signal.signal(each, signal.SIG_IGN)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note a signal, and start the last resort: the process has to end in time even if the event loop hangs."""
        self._last_resort.begin()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application and answer requests, unless a signal comes first."""
        watching = asyncio.create_task(self._watch_start())
        try:
            await super().startup(sockets)
        finally:
            watching.cancel()
        # What exists by now stays: looking through it again and again took a twentieth of the time under load.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)
        if self._supervisor is not None:
            asyncio.get_running_loop().add_reader(self._supervisor, self._abandoned)
        failed: asyncio.Future[str] | None = self._of_app("failed")
        if failed is not None:
            failed.add_done_callback(self._failed)
        self._serving()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, stop listening, answer what was asked, end the application.

        A second Ctrl+C ends the drain and a third the wait for answers; hits already taken are made safe all the same.
        """
        self._last_resort.begin()
        cast(HubState, self.server_state).draining = True
        await self._drain()
        await self._stop_listening(sockets or [])
        self.force_exit = False
        await super().shutdown(sockets)
        lifespan = cast(HubLifespan, self.lifespan)
        if not lifespan.shutdown_event.is_set():
            # uvicorn skips the lifespan's end if it was told to hurry.
            for task in self.server_state.tasks:
                task.cancel()
            await lifespan.shutdown()

    async def _watch_start(self) -> None:
        while not self.should_exit:  # noqa: ASYNC110
            await asyncio.sleep(TICK_SECONDS)
        cast(HubLifespan, self.lifespan).give_up()

    async def _stop_listening(self, listeners: Sequence[socket.socket]) -> None:
        """Empty the listeners' queues, then close them: a connection still waiting there would be reset."""
        waiting: list[socket.socket] = []
        for listener in listeners:
            with contextlib.suppress(OSError):
                while True:
                    waiting.append(listener.accept()[0])
        for server in self.servers:
            server.close()
        for connection in waiting:
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        protocol = cast(type[HubHttp], self.config.http_protocol_class)
        return protocol(self.config, self.server_state, self.lifespan.state)

    async def _drain(self) -> None:
        """Let the application close its sockets, and wait until they are closed, or for a second Ctrl+C."""
        drain: Drain | None = self._of_app("drain")
        if drain is None:
            return
        deadline = asyncio.get_running_loop().time() + self._drain_seconds + DRAIN_MARGIN_SECONDS
        draining = asyncio.ensure_future(drain(self._drain_seconds))
        while not draining.done() or self._has_sockets():
            if self.force_exit or asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(TICK_SECONDS)
        draining.cancel()
        try:
            await draining
        except asyncio.CancelledError:
            logger.warning("closing the sockets took too long; the rest are cut off")
        except Exception:
            logger.exception("closing the sockets failed")

    def _of_app(self, name: str) -> Any:
        """What the application has in its `state` under this name, or None."""
        return getattr(getattr(self.config.loaded_app, "state", None), name, None)

    def _has_sockets(self) -> bool:
        return any(isinstance(each, HubWebSocket) for each in self.server_state.connections)

    def _failed(self, failed: asyncio.Future[str]) -> None:
        if not failed.cancelled():
            self.failure = failed.result()
            self.should_exit = True

    def _abandoned(self) -> None:
        """The supervisor was killed: free the port for its successor at once, then end in order."""
        asyncio.get_running_loop().remove_reader(cast(int, self._supervisor))
        logger.error("the supervisor is gone; this worker ends")
        for server in self.servers:
            server.close()
        self.should_exit = True


def _settings(app: ASGIApp) -> uvicorn.Config:
    """uvicorn's configuration: every setting is ours, and none is uvicorn's own reading of the environment."""
    settings = uvicorn.Config(
        app,
        loop="auto",
        http=HubHttp,
        ws=HubWebSocket,
        ws_max_size=FRAME_BYTES,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PONG_SECONDS,
        ws_per_message_deflate=False,
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        forwarded_allow_ips="",
        server_header=False,
        workers=1,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=ANSWER_SECONDS,
    )
    settings.load()
    settings.lifespan_class = HubLifespan
    return settings


def _why(told: str) -> str:
    """A traceback as one line: the hub's own errors say what to do, others are shown with the name of their type."""
    lines = told.strip().splitlines()
    frames = max((number for number, line in enumerate(lines) if line.startswith(" ")), default=-1)
    text = " ".join(" ".join(lines[frames + 1 :]).split())
    kind, _, message = text.partition(": ")
    if kind == f"{DatabaseAway.__module__}.{DatabaseAway.__name__}" and "DATABASE_URL" not in message:
        return f"the database that DATABASE_URL names cannot be used: {message}"
    return message if kind.startswith("hub.") and message else f"cannot start: {text}"
