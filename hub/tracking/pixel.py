"""The pixel: a hit is answered when it is safe, and always with the same image.

Promise: the answer is byte for byte the same for a good, a forged, an old and an opted-out token, and
leaves only after the hit is recorded. Nothing that goes wrong on the way shows in a mail.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable
from functools import partial

from starlette.types import Receive, Scope, Send

from hub.live.extension import Run, Write
from hub.model import Clock
from hub.recorder import Recorder
from hub.tracking.snippet import PREFIX, SUFFIX
from hub.tracking.token import BadToken, Keys
from hub.tracking.visit import TrustedProxies, read_visit

logger = logging.getLogger(__name__)

GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""One transparent pixel, 42 bytes."""

HEADERS = [
    (b"content-type", b"image/gif"),
    (b"content-length", str(len(GIF)).encode()),
    (b"cache-control", b"no-store, no-cache, must-revalidate, private, max-age=0"),
    (b"pragma", b"no-cache"),
    (b"expires", b"0"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"access-control-allow-origin", b"*"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-robots-tag", b"noindex"),
]
HEADER_LINES = b"".join(b"%s: %s\r\n" % header for header in HEADERS)


class Pixel:
    """The ASGI endpoint behind every pixel's address."""

    def __init__(
        self,
        keys: Keys,
        recorder: Recorder,
        trusted_proxies: TrustedProxies,
        clock: Clock,
        on_hit: Callable[[str], None] = lambda _result: None,
    ) -> None:
        """`on_hit` is told what became of each hit: "safe", "forged" or "failed"."""
        self._keys = keys
        self._recorder = recorder
        self._trusted_proxies = trusted_proxies
        self._clock = clock
        self._on_hit = on_hit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            done = asyncio.Event()
            self._record(scope, done.set)
            await done.wait()
        await _answer(scope, receive, send)

    def take(self, scope: Scope, write: Write, run: Run) -> None:
        """Answer the GET in `scope` without a task of its own, by `write` or, where that is refused, by `run`."""

        def answer() -> None:
            if not write(HEADER_LINES, GIF):
                run(_answer)

        # Not from within uvloop's own callback: uvloop releases Python's lock after each of those, and SQLite's thread,
        # which waits for the lock, would wake up in vain every time.
        asyncio.get_running_loop().call_soon(self._record, scope, answer)

    def _record(self, scope: Scope, answer: Callable[[], object]) -> None:
        """Record a hit; `answer` is called once, when it is safe or never will be."""

        def finish(result: str) -> None:
            self._on_hit(result)
            answer()

        try:
            message_id, position = self._keys.verify(scope["path"].removeprefix(PREFIX).removesuffix(SUFFIX))
            visit = read_visit(
                scope,
                message_id=message_id,
                position=position,
                at=self._clock(),
                trusted_proxies=self._trusted_proxies,
            )
            self._recorder.submit(visit, partial(finish, "safe"))
        except BadToken:
            finish("forged")
        except Exception:
            logger.exception("a hit could not be recorded")
            finish("failed")


async def _answer(scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": GIF if scope["method"] == "GET" else b""})
