"""A small application behind `hub.server`, run as a process of its own: `python -m tests.served KIND WORKERS PORT`."""

from __future__ import annotations

import asyncio
import math
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from hub.config import Config, ConfigError
from hub.live.extension import TRANSPORT_EXTENSION
from hub.server import TICK_SECONDS, serve
from hub.store.away import DatabaseAway
from tests.processes import eventually

GOING_DOWN = 4001
DRAIN_SECONDS = 18.0
SHORT_DRAIN_SECONDS = 0.3
HOLD_SOCKETS, HOLD_ANSWERS = "hold-sockets", "hold-answers"
"""While a file of the first name exists, no socket is closed; while one of the second exists, no request for `/waits`
is answered."""

FAILURE = "the schema is not current: migrate it first"


class Site:
    """The application's parts. It notes what happens to it in the file `journal` in its directory."""

    def __init__(self, drain: Literal["quick", "hangs", "lasts", "blocks"] = "quick") -> None:
        self.journal = Path("journal")
        self.going_down = asyncio.Event()
        self.kind_of_drain = drain

    def note(self, what: str) -> None:
        with self.journal.open("a") as journal:
            journal.write(f"{what}\n")

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        app.state.drain = self.drain
        app.state.failed = asyncio.get_running_loop().create_future()
        failing = asyncio.create_task(self.fail(app.state.failed))
        self.note(f"started {os.getpid()}")
        yield
        failing.cancel()
        self.note("stopped")

    async def drain(self, seconds: float) -> None:
        self.note(f"drain {seconds:g}")
        if self.kind_of_drain == "hangs":
            await asyncio.Event().wait()
        self.going_down.set()
        if self.kind_of_drain == "lasts":
            await asyncio.Event().wait()
        if self.kind_of_drain == "blocks":
            # Due when the server next looks whether the drain is done, so that the server goes on right after it.
            asyncio.get_running_loop().call_later(2 * TICK_SECONDS, self.block, "second")
            self.block("first")

    def block(self, release: str) -> None:
        """Hold the event loop until there is a file named `release`, as any work on the loop does for a moment."""
        self.note(f"blocked-{release}")
        while True:
            time.sleep(2 * TICK_SECONDS)
            if Path(release).exists():
                return

    async def fail(self, failed: asyncio.Future[str]) -> None:
        """Say that the application cannot serve any more, once there is a file named after this process."""
        await eventually(lambda: Path(f"fail-{os.getpid()}").exists(), math.inf)
        failed.set_result(FAILURE)

    async def held(self, hold: str) -> None:
        """Wait until the drain has begun and there is no file named `hold`."""
        await self.going_down.wait()
        await eventually(lambda: not Path(hold).exists())

    async def pid(self, _: Request) -> Response:
        return PlainTextResponse(str(os.getpid()))

    async def readyz(self, _: Request) -> Response:
        return PlainTextResponse("", status_code=503 if self.going_down.is_set() else 200)

    async def waits(self, _: Request) -> Response:
        """Answer once the drain has begun."""
        self.note("waiting")
        try:
            await self.held(HOLD_ANSWERS)
        except asyncio.CancelledError:
            self.note("cut-off")
            raise
        return PlainTextResponse("answered")

    async def stream(self, _: Request) -> Response:
        async def events() -> AsyncIterator[bytes]:
            yield b": hello\n\n"
            await self.going_down.wait()
            yield b": goodbye\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async def boom(self, request: Request) -> Response:
        raise RuntimeError(f"no luck for {request.client} with {request.url} of reader@example.com")

    async def socket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        transport = websocket.scope["extensions"][TRANSPORT_EXTENSION]["transport"]
        await websocket.send_text(str(transport.get_write_buffer_size()))
        reading = asyncio.create_task(self.read(websocket))
        closing = asyncio.create_task(self.held(HOLD_SOCKETS))
        await asyncio.wait({reading, closing}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            await websocket.close(GOING_DOWN)
        await reading
        closing.cancel()

    async def read(self, websocket: WebSocket) -> None:
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass

    def app(self) -> Starlette:
        return Starlette(
            lifespan=self.lifespan,
            routes=[
                Route("/pid", self.pid),
                Route("/readyz", self.readyz),
                Route("/waits", self.waits),
                Route("/stream", self.stream),
                Route("/boom", self.boom),
                WebSocketRoute("/ws", self.socket),
            ],
        )


def good(config: Config) -> ASGIApp:
    site = Site()
    site.note(f"port {config.port}")
    return site.app()


def stuck(_: Config) -> ASGIApp:
    return Site("hangs").app()


def slow(_: Config) -> ASGIApp:
    return Site("lasts").app()


def hasty(_: Config) -> ASGIApp:
    """As `stuck`, with little time for its drain."""
    return Site("hangs").app()


def busy(_: Config) -> ASGIApp:
    return Site("blocks").app()


def misconfigured(_: Config) -> ASGIApp:
    raise ConfigError("SETTING is wrong: set it right")


def unstartable(_: Config) -> ASGIApp:
    return _that_raises(OSError("the disk\nis on fire"))


def unwritable(_: Config) -> ASGIApp:
    return _that_raises(DatabaseAway("it is read-only"))


def _that_raises(error: Exception) -> ASGIApp:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        raise error
        yield

    return Starlette(lifespan=lifespan)


KINDS = {each.__name__: each for each in (good, stuck, slow, hasty, busy, misconfigured, unstartable, unwritable)}

if __name__ == "__main__":
    kind, workers, port = sys.argv[1:]
    drain_seconds = SHORT_DRAIN_SECONDS if kind == "hasty" else DRAIN_SECONDS
    config = Config(
        port=int(port),
        workers=int(workers),
        drain_seconds=drain_seconds,
        log_level="debug",
        redis_url="redis://127.0.0.1/0",
    )
    sys.exit(serve(KINDS[kind], config, host="127.0.0.1"))
