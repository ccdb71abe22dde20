"""Many WebSocket clients in a process of their own, cheap enough to keep up with a fast server.

Promise: each event is noted with the machine's monotonic clock when its bytes are read, pings are answered,
and a socket that the server closes is counted, never opened again.
"""

from __future__ import annotations

import select
import socket
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Literal, TypeAlias

from bench.figures import BenchError
from bench.frames import CLOSE, PING, PONG, TEXT, client_frame, frames
from bench.machine import allow_files, own_cpu_seconds

Noting: TypeAlias = Literal["count", "subjects", "sequences"]

RECEIVE_BYTES = 262_144
TURN_SECONDS = 0.05
EVENT = b'{"type":"event"'
SUBJECT, SEQUENCE = b'"subject":"', b'"sequence":"'
ID_BYTES = 26


@dataclass(frozen=True)
class Opening:
    """How a socket is opened: its path, the frame that it sends first (none: it is live at once), and the number of
    events that it missed."""

    path: str
    first: str = ""
    missed: int = 0


@dataclass(frozen=True)
class Crowd:
    """The sockets to open, with at most `at_once` of them being opened at a time, and what to note of each event."""

    port: int
    openings: Sequence[Opening]
    at_once: int = 200
    noting: Noting = "count"


@dataclass(frozen=True)
class Status:
    """How a crowd is doing now."""

    live: int
    closed: int
    events: int
    frames: int
    cpu_seconds: float
    last_event: int


@dataclass
class Heard:
    """What a crowd heard since it was last told to begin. Times are in nanoseconds of the monotonic clock.

    `events` came from `first_event` to `last_event`. With "subjects", `subjects` and `times` have one entry for each
    event; with "sequences", `sequences` has those of each socket in order, and `times` has the moment at which each
    socket had got as many events as its opening `missed`. `connected` has the moment at which each socket was told
    that it is connected. `closed` counts the sockets closed since the opening, `codes` the server's close codes.
    """

    events: int = 0
    frames: int = 0
    first_event: int = 0
    last_event: int = 0
    closed: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    cpu_seconds: float = 0.0
    subjects: list[bytes] = field(default_factory=list)
    times: array[int] = field(default_factory=lambda: array("q"))
    sequences: list[array[int]] = field(default_factory=list)
    connected: array[int] = field(default_factory=lambda: array("q"))


def hear_all(crowd: Crowd, link: Connection) -> None:
    """Open a crowd's sockets and hear what they are sent, as `bench.sockets.Clients` says down the link."""
    allow_files()
    clients = _Crowd(crowd)
    link.send("ready")
    while True:
        asked = clients.turn(link)
        if asked == "open":
            clients.opening = True
        elif asked == "status":
            link.send(clients.status())
        elif asked == "begin":
            clients.begin()
        elif asked == "heard":
            link.send(clients.heard())


class _Crowd:
    """The sockets, on one thread."""

    def __init__(self, crowd: Crowd) -> None:
        self.opening = False
        self._crowd = crowd
        self._poll = select.epoll()
        self._next = 0
        self._numbers: dict[int, int] = {}
        self._links: dict[int, socket.socket] = {}
        self._upgrading: set[int] = set()
        self._connecting: set[int] = set()
        self._partial: dict[int, bytes] = {}
        self._live = 0
        self._watched = -1
        self._heard = Heard()
        self.begin()

    def begin(self) -> None:
        before = self._heard
        self._heard = Heard(closed=before.closed, codes=before.codes, connected=before.connected)
        if self._crowd.noting == "sequences":
            self._heard.sequences = [array("q") for _ in self._crowd.openings]
        self._cpu = own_cpu_seconds()

    def status(self) -> Status:
        heard = self._heard
        used = own_cpu_seconds() - self._cpu
        return Status(self._live, heard.closed, heard.events, heard.frames, used, heard.last_event)

    def heard(self) -> Heard:
        self._heard.cpu_seconds = own_cpu_seconds() - self._cpu
        return self._heard

    def turn(self, link: Connection) -> object:
        """Do what there is to do until the owner says something; returns that."""
        if self._watched < 0:
            self._watched = link.fileno()
            self._poll.register(self._watched, select.EPOLLIN)
        asked: list[object] = []
        while not asked:
            if self.opening:
                self._open_some()
            for at, what in self._poll.poll(TURN_SECONDS):
                if at == self._watched:
                    asked.append(link.recv())
                elif at in self._upgrading and what & select.EPOLLOUT:
                    self._upgrade(at)
                else:
                    self._read(at)
        return asked[0]

    def _open_some(self) -> None:
        total = len(self._crowd.openings)
        while self._next < total and len(self._upgrading) + len(self._connecting) < self._crowd.at_once:
            link = socket.socket()
            link.setblocking(False)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.connect_ex(("127.0.0.1", self._crowd.port))
            at = link.fileno()
            self._links[at], self._numbers[at] = link, self._next
            self._upgrading.add(at)
            self._poll.register(at, select.EPOLLOUT)
            self._next += 1

    def _upgrade(self, at: int) -> None:
        self._poll.modify(at, select.EPOLLIN)
        path = self._crowd.openings[self._numbers[at]].path
        offered = "Sec-WebSocket-Protocol: glimpse.v1\r\n" if path.startswith("/api/") else ""
        try:
            self._links[at].send(
                f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._crowd.port}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{offered}"
                "Sec-WebSocket-Version: 13\r\n\r\n".encode()
            )
        except OSError:
            self._lost(at)

    def _read(self, at: int) -> None:
        try:
            data = self._links[at].recv(RECEIVE_BYTES)
        except OSError:
            data = b""
        if not data:
            self._lost(at)
            return
        if at in self._partial:
            data = self._partial.pop(at) + data
        if at in self._upgrading:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._partial[at] = head
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                raise BenchError(f"a socket was refused: {head[:200]!r}")
            self._upgraded(at)
        whole, rest = frames(data)
        if rest < len(data):
            self._partial[at] = data[rest:]
        self._take(at, data, whole)

    def _upgraded(self, at: int) -> None:
        self._upgrading.discard(at)
        first = self._crowd.openings[self._numbers[at]].first
        if first:
            self._connecting.add(at)
            self._links[at].send(client_frame(TEXT, first.encode()))
        else:
            self._live += 1

    def _take(self, at: int, data: bytes, whole: Iterable[tuple[int, int, int]]) -> None:
        now, heard, noting = time.monotonic_ns(), self._heard, self._crowd.noting
        for opcode, start, end in whole:
            heard.frames += 1
            if opcode == TEXT and data.startswith(EVENT, start):
                heard.events += 1
                heard.first_event = heard.first_event or now
                heard.last_event = now
                if noting == "subjects":
                    found = data.find(SUBJECT, start, end) + len(SUBJECT)
                    heard.subjects.append(data[found : found + ID_BYTES])
                    heard.times.append(now)
                elif noting == "sequences":
                    found = data.find(SEQUENCE, start, end) + len(SEQUENCE)
                    number = self._numbers[at]
                    heard.sequences[number].append(int(data[found : data.index(b'"', found)]))
                    if len(heard.sequences[number]) == self._crowd.openings[number].missed:
                        heard.times.append(now)
            elif opcode == TEXT and at in self._connecting:
                self._connecting.discard(at)
                self._live += 1
                heard.connected.append(now)
            elif opcode == PING:
                self._links[at].send(client_frame(PONG, data[start:end]))
            elif opcode == CLOSE:
                heard.codes[int.from_bytes(data[start : start + 2], "big")] += 1
                self._lost(at)
                return

    def _lost(self, at: int) -> None:
        self._live -= at not in self._upgrading and at not in self._connecting
        self._heard.closed += 1
        self._upgrading.discard(at)
        self._connecting.discard(at)
        self._poll.unregister(at)
        self._links.pop(at).close()
        self._numbers.pop(at)
