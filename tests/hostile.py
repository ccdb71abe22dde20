"""Random malformed requests, many at once: a hub has to survive them, and to release all that it held for them.

Promise: most are well-formed requests spoilt in a few places, because these get further than mere noise; the same seed
gives the same requests.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.hub_process import HubProcess
from tests.processes import eventually
from tests.resources import resident_bytes

ANSWER_SECONDS = 0.1
"""The least time that a client waits for an answer before it ends its side, because its request may be unfinished. On a
slow machine it waits `TIMES` times as long as answers usually take; the first guess at that is `FIRST_SECONDS`."""
TIMES = 10
FIRST_SECONDS = 0.2
LEARNT = 0.05
END_SECONDS = 60.0
"""How long the hub may keep a connection after its client has ended its side."""
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
CLOSE = re.compile(rb"\x88[\x02-\x7d](..)[ -~]*\Z", re.DOTALL)
HEAD_END = b"\r\n\r\n"
FAULTS = {*range(500, 600), 1011}
LEAST_ANSWERED = 0.8
"""The least share of the requests with a whole head that are answered. A body may be cut short, and is waited for."""
SETTLING_BYTES = 3_000_000
MOST_BYTES = 250
"""How much a hub that is warm may grow: by the first until it has settled, and by the second with each request."""
NOISE = 0.05
WARM_UP = 0.2
NASTY = (
    *(
        b"\r\n",
        b"\n",
        b"\0",
        b"\r\n\r\n",
        b" ",
        b"%00",
        b"%ff",
        b"%",
        b"..",
        b"/",
        b"?",
        b"#",
        b"\xff\xfe",
        b"\xc3\x28",
    ),
    *(b"{", b"[" * 500, b'"', b"\\ud800", b"1e999", b"-1", b"99999999999999999999", b"A" * 5000, b"chunked", b"close"),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"Host: x\r\n", b";"),
    *(b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"HTTP/0.9", b"HTTP/2.0", b"\x16\x03\x01", b"null", b"true"),
)
Spoil = Callable[[random.Random, bytes], bytes]


def _flip(chance: random.Random, raw: bytes) -> bytes:
    place = chance.randrange(len(raw))
    return raw[:place] + bytes([raw[place] ^ 1 << chance.randrange(8)]) + raw[place + 1 :]


def _insert(chance: random.Random, raw: bytes) -> bytes:
    place = chance.randrange(len(raw) + 1)
    return raw[:place] + chance.choice(NASTY) + raw[place:]


def _cut(chance: random.Random, raw: bytes) -> bytes:
    place = chance.randrange(len(raw))
    return raw[:place] + raw[place + chance.randrange(1, 40) :]


def _double(chance: random.Random, raw: bytes) -> bytes:
    place = chance.randrange(len(raw))
    return raw[:place] + raw[max(0, place - chance.randrange(1, 40)) :]


def _end(chance: random.Random, raw: bytes) -> bytes:
    return raw[: chance.randrange(1, len(raw) + 1)]


SPOILS: tuple[Spoil, ...] = (_flip, _flip, _insert, _insert, _insert, _cut, _double, _end)


def requests(token: str, pixel: str, message_id: str) -> list[bytes]:
    """Well-formed requests of every kind, with these names in them."""
    who = f"Host: hub.example.com\r\nAuthorization: Bearer {token}\r\n"
    body = b'{"subject":"a","recipients":[{"address":"a@example.com","name":"A"}],"sent_at":"2024-05-01T12:00:00Z"}'
    key = base64.b64encode(bytes(16)).decode()
    upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    frame = b'{"type":"connect","stream":"history","after":0}'
    masked = bytes([0x81, 0x80 | len(frame)]) + bytes(4) + frame
    with_body = (
        "POST /api/v1/messages",
        f"PATCH /api/v1/messages/{message_id}",
        "POST /api/v1/seen",
        "POST /api/v1/tokens",
    )
    asked = (
        *(f"/o/{pixel}.gif", "/", "/api/v1/me", "/api/v1/messages?limit=5&q=x&opened=true", "/api/v1/events?after=0"),
        *(f"/api/v1/messages/{message_id}/opens?all=true", "/metrics", "/readyz", "/static/client.js", "/docs"),
    )
    return [
        *(
            f"GET {path} HTTP/1.1\r\n{who}User-Agent: Thunderbird\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n".encode()
            for path in asked
        ),
        *(
            f"{line} HTTP/1.1\r\n{who}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
            for line in with_body
        ),
        f"POST /api/v1/messages HTTP/1.1\r\n{who}Transfer-Encoding: chunked\r\n\r\n".encode()
        + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
        f"GET /api/v1/ws HTTP/1.1\r\n{who}{upgrade}Sec-WebSocket-Protocol: glimpse.v1\r\n\r\n".encode() + masked * 3,
        f"DELETE /api/v1/session HTTP/1.1\r\n{who}\r\n".encode(),
    ]


def spoilt(chance: random.Random, right: Sequence[bytes]) -> bytes:
    """One malformed request."""
    if chance.random() < NOISE:
        return chance.randbytes(chance.randrange(1, 400))
    raw = chance.choice(right)
    for _ in range(chance.randrange(1, 5)):
        raw = chance.choice(SPOILS)(chance, raw) or b"\r\n"
    return raw


def sockets(pid: int) -> int:
    """How many sockets a process has open. Its files are not counted: connections to SQLite come and go."""
    links = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links += str(each.readlink()).startswith("socket:")
    return links


@dataclass
class Storm:
    """Malformed requests to a running hub, on this many `connections` at a time, and how it answered.

    `answers` has the statuses and the close codes. Of the `whole` requests, which have all of a head, `answered` were
    answered: with a status, and where that opened a socket with a frame as well.
    """

    hub: HubProcess
    right: Sequence[bytes]
    seed: int
    connections: int = 32
    answers: Counter[int] = field(default_factory=Counter)
    whole: int = 0
    answered: int = 0
    measured: int = 0
    failed: list[tuple[int, bytes]] = field(default_factory=list)
    stuck: list[bytes] = field(default_factory=list)
    before: tuple[int, int] = (0, 0)
    after: tuple[int, int] = (0, 0)
    usual: float = FIRST_SECONDS

    async def blow(self, number: int) -> None:
        """Send `number` requests, and note the hub's sockets and its memory in bytes, `before` and `after`."""
        chance = random.Random(self.seed)
        idle = sockets(self.hub.pid)
        warm = round(number * WARM_UP)
        await self._send([spoilt(chance, self.right) for _ in range(warm)])
        self.before = idle, resident_bytes(self.hub.pid)
        left = self.measured = number - warm
        while left:
            some = min(left, 5000)
            await self._send([spoilt(chance, self.right) for _ in range(some)])
            left -= some
        await eventually(lambda: sockets(self.hub.pid) <= idle, what="no socket is left over")
        self.after = sockets(self.hub.pid), resident_bytes(self.hub.pid)

    async def _send(self, requests: list[bytes]) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self.connections):
                group.create_task(self._one_after_another(requests))

    async def _one_after_another(self, requests: list[bytes]) -> None:
        while requests:
            await self._ask(requests.pop())

    async def _ask(self, request: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.hub.port)
        answer = b""
        try:
            writer.write(request)
            began = time.monotonic()
            try:
                async with asyncio.timeout(max(ANSWER_SECONDS, TIMES * self.usual)):
                    answer = await reader.read(65536)
                self.usual += LEARNT * (time.monotonic() - began - self.usual)
            except TimeoutError:
                pass
            if writer.can_write_eof():
                writer.write_eof()
            async with asyncio.timeout(END_SECONDS):
                answer += await reader.read()
        except TimeoutError:
            self.stuck.append(request)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()
        self._note(request, answer)

    def _note(self, request: bytes, answer: bytes) -> None:
        statuses = [int(each) for each in STATUS.findall(answer)]
        said = answer.partition(HEAD_END)[2]
        codes = [int.from_bytes(each) for each in CLOSE.findall(said)] if 101 in statuses else []
        for each in (*statuses, *codes):
            self.answers[each] += 1
            if each in FAULTS:
                self.failed.append((each, request))
        if HEAD_END in request:
            self.whole += 1
            self.answered += bool(statuses) and (101 not in statuses or bool(said))

    def check(self) -> None:
        """Raises AssertionError if the hub failed at a request, answered too few, held on to a connection, or grew."""
        assert not self.failed, f"{len(self.failed)} server errors, the first for {self.failed[0]}"
        assert not self.stuck, f"{len(self.stuck)} connections were stuck, the first after {self.stuck[0]!r}"
        assert "Traceback" not in self.hub.output(), self.hub.output()[-4000:]
        share = self.answered / self.whole if self.whole else 1
        assert share >= LEAST_ANSWERED, f"only {share:.0%} of {self.whole:,} whole requests were answered"
        grown = self.after[1] - self.before[1]
        most = SETTLING_BYTES + MOST_BYTES * self.measured
        assert grown < most, f"{grown / 1e6:.1f} MB more than before, {grown / self.measured:,.0f} bytes a request"
