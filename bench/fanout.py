"""Measure 4, fan-out: deliveries a second to a thousand sockets of one user, and to two sockets each of many users.

Beside it, nginx with Nchan delivers frames of the same size to as many sockets. Glimpse classifies and commits a hit
before it delivers its event; Nchan only keeps a message in memory. So the fan-out alone is measured as well, on a hub
that hears of the events on its bus, as it hears of everything that another process has committed.
"""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import msgspec

from bench import load, servers
from bench.crowd import Crowd, Opening
from bench.figures import BenchError, Figure, Setting, paired_ratio
from bench.load import Load
from bench.mixture import first_opens
from bench.servers import NCHAN, Server
from bench.sockets import Clients, hub_opening
from bench.world import Letter, World, a_world, build, slices
from hub.live.bus import CHANNEL, Parcel
from hub.live.notices import Notice
from tests.servers import Valkey

NAME = "fanout"
SOCKETS = 1000
EVENTS_TO_ALL = 200
MANY_USERS, EVENTS_TO_FEW = 500, 6000
CONNECTIONS = 32
OPEN_SECONDS = 60.0
ARRIVE_SECONDS = 60.0
PACED_SECONDS = 5.0
SILENCE_SECONDS = 8.0
GOAL = 1.0
LIMIT_CORES = 0.9
"""A generator that takes more than this of a core is what limits the rate: the clients are one thread."""

COMMITTED = 16
CONNECTIONS_TO_THE_BUS = 1
"""Under such a load a process commits about COMMITTED events at a time, and tells of them over one connection."""

EVENT_BYTES = 908
"""An event of this size makes a frame as large as one that tells of an open, 935 bytes on average."""

NCHAN_LOCATIONS = """
location /publish {
    nchan_publisher http;
    nchan_channel_id $arg_id;
    nchan_message_buffer_length 20000;
    nchan_message_timeout 5m;
    access_log off;
}
location /subscribe {
    nchan_subscriber websocket;
    nchan_channel_id $arg_id;
    nchan_subscriber_first_message newest;
    access_log off;
}
"""


@dataclass(frozen=True)
class Shape:
    """A fan-out: a number of `users`, who share SOCKETS sockets evenly, and of `events`, for the users in turn."""

    name: str
    users: int
    events: int

    @property
    def deliveries(self) -> int:
        """How many frames arrive in all."""
        return self.events * (SOCKETS // self.users)


@dataclass
class _Runs:
    """What the rounds of one server found in one shape."""

    server: Server
    rates: list[float]
    cores: list[tuple[float, float, float]]
    lost: int = 0
    cost: float = 0.0
    """The microseconds of a core for each delivery of the last round."""

    def taken(self) -> tuple[float, float, float]:
        """The cores of server, generator and others, over the rounds that count for the rate: all but the first, which
        warms up, and the last, which is paced."""
        server, generator, others = map(statistics.median, zip(*self.cores[1:-1], strict=True))
        return server, generator, others

    def reservations(self) -> list[str]:
        """Why its rate is not quite what the server can do, in words."""
        _server, generator, _others = self.taken()
        limited = ["limited by the client"] if generator > LIMIT_CORES else []
        return limited + ([f"{self.lost:,} NEVER CAME"] if self.lost else [])


def measure(setting: Setting) -> list[Figure]:
    """Deliveries a second of the hub and of Nchan, by turns, in both shapes."""
    rounds = 3 if setting.quick else 5
    shapes = (
        Shape(f"one user's event to {SOCKETS:,} sockets", 1, EVENTS_TO_ALL),
        Shape(f"{MANY_USERS} users' events to two sockets each", MANY_USERS, EVENTS_TO_FEW),
    )
    return [figure for shape in shapes for figure in _measure(setting, shape, rounds)]


@dataclass
class _Contender:
    """A server, its listeners, and `make`, which makes a round's load from its number and pace (None: as fast as the
    server takes it)."""

    runs: _Runs
    crowd: Crowd
    make: Callable[[int, float | None], Load]


def _measure(setting: Setting, shape: Shape, rounds: int) -> list[Figure]:
    folder = setting.folder / f"users-{shape.users}"
    folder.mkdir()
    world = a_world(shape.users, shape.events * (rounds + 2))
    url = f"sqlite:///{folder}/hub.db"
    asyncio.run(build(url, world))
    missing = servers.lacking([NCHAN])
    if missing:
        setting.say(f"no yardstick: {missing}")
    with ExitStack() as stack:
        valkey = stack.enter_context(Valkey())
        hub = stack.enter_context(servers.hub("Glimpse", folder, url, sockets_per_user=SOCKETS))
        alone = stack.enter_context(
            servers.hub(
                "Glimpse's fan-out alone",
                folder,
                url,
                redis_url=valkey.url,
                sockets_per_user=SOCKETS,
                helpers=(valkey.pid,),
            )
        )
        each = SOCKETS // shape.users
        ours = [hub_opening(sender.token) for sender in world.senders for _ in range(each)]
        batches = list(slices(world.messages, shape.events))
        contenders = [
            _Contender(_Runs(hub, [], []), Crowd(hub.port, ours), partial(_hits, hub, batches)),
            _Contender(
                _Runs(alone, [], []), Crowd(alone.port, ours), partial(_from_the_bus, valkey.port, shape, world)
            ),
        ]
        if not missing:
            nchan = stack.enter_context(servers.nginx("Nchan", folder, NCHAN_LOCATIONS, [NCHAN]))
            theirs = [Opening(f"/subscribe?id={number}") for number in range(shape.users) for _ in range(each)]
            contenders.append(
                _Contender(_Runs(nchan, [], []), Crowd(nchan.port, theirs), partial(_publishing, nchan, shape))
            )
        return _by_turns(setting, shape, contenders, rounds)


def _by_turns(setting: Setting, shape: Shape, contenders: Sequence[_Contender], rounds: int) -> list[Figure]:
    with ExitStack() as stack:
        clients = [stack.enter_context(Clients(each.crowd)) for each in contenders]
        for each in clients:
            each.open(OPEN_SECONDS)
        for number in range(rounds + 2):
            # The last round is at a steady pace: it measures what a delivery costs, not how many are possible.
            pace = shape.events / PACED_SECONDS if number > rounds else None
            for contender, crowd in zip(contenders, clients, strict=True):
                _round(setting, shape, contender.runs, crowd, contender.make(number, pace))
    glimpse, alone, *rest = [contender.runs for contender in contenders]
    beside = rest[0] if rest else None
    figures = [_rate(shape, glimpse, beside), _rate(shape, alone, beside)]
    figures += [_rate(shape, beside, None)] if beside else []
    return [*figures, _cost(shape, glimpse, beside), _cost(shape, alone, beside)]


def _hits(hub: Server, batches: Sequence[Sequence[Letter]], number: int, pace: float | None) -> Load:
    hits = [hit.request() for hit in first_opens(batches[number], random.Random(number))]
    return Load(hub.port, hits, CONNECTIONS, ARRIVE_SECONDS, pace, once=True)


def _from_the_bus(port: int, shape: Shape, world: World, number: int, pace: float | None) -> Load:
    """What other processes say on the bus once they have committed these events, several at a time."""
    first = number * shape.events
    event = b'"' + b"x" * EVENT_BYTES + b'"'
    notices = [
        Notice(world.senders[n % shape.users].id, n // shape.users + 1, "open.recorded", True, event)
        for n in range(first, first + shape.events)
    ]
    said = [msgspec.msgpack.encode(Parcel(tuple(some))) for some in slices(notices, COMMITTED)]
    commands = [
        b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(CHANNEL), CHANNEL.encode(), len(each), each)
        for each in said
    ]
    rate = pace / COMMITTED if pace else None
    return Load(port, commands, CONNECTIONS_TO_THE_BUS, ARRIVE_SECONDS, rate, once=True, answer=b":")


def _publishing(nchan: Server, shape: Shape, _number: int, pace: float | None) -> Load:
    frame = b'{"type":"event","event":' + b'"' + b"x" * EVENT_BYTES + b'"}'
    requests = [
        f"POST /publish?id={number % shape.users} HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(frame)}\r\n\r\n".encode()
        + frame
        for number in range(shape.events)
    ]
    return Load(nchan.port, requests, CONNECTIONS, ARRIVE_SECONDS, pace, once=True, answer=b"HTTP/1.1 20")


def _round(setting: Setting, shape: Shape, runs: _Runs, clients: Clients, made: Load) -> None:
    """Send the events, as fast as they are taken or paced, and time from when the first is due to the last frame."""
    with load.generator(made) as child:
        child.hear(load.PATIENCE_SECONDS)
        clients.begin()
        watch = runs.server.watch()
        child.tell("go")
        done = load.heard(child, made)
        clients.wait(shape.deliveries, ARRIVE_SECONDS, SILENCE_SECONDS)
        watch.end()
    heard = clients.heard()
    if not heard.events:
        raise BenchError(f"{runs.server.name}: not one of {shape.deliveries:,} deliveries came")
    runs.lost += shape.deliveries - heard.events
    seconds = (heard.last_event - min(done.due)) / 1e9
    generator = (done.cpu_seconds + heard.cpu_seconds) / watch.seconds
    runs.rates.append(heard.events / seconds)
    runs.cores.append((watch.server, generator, watch.others(generator)))
    runs.cost = watch.taken / heard.events * 1e6
    setting.say(f"{runs.server.name}, {shape.name}: {runs.rates[-1]:,.0f} deliveries/s")


def _rate(shape: Shape, runs: _Runs, beside: _Runs | None) -> Figure:
    """The deliveries a second, and what has to be known of its own rate and of the one beside it."""
    server, generator, others = runs.taken()
    notes = [f"{shape.events:,} events as fast as they are taken", *runs.reservations()]
    if beside:
        notes += [f"{beside.server.name}: {each}" for each in beside.reservations()]
    return Figure(
        measure=NAME,
        name=f"{runs.server.name}, {shape.name}",
        value=statistics.median(runs.rates[1:-1]),
        unit="deliveries/s",
        ratio=paired_ratio(runs.rates[1:-1], beside.rates[1:-1]) if beside else None,
        against=beside.server.name if beside else "",
        goal=GOAL if beside else None,
        server=server,
        generator=generator,
        others=others,
        runs=tuple(runs.rates[1:-1]),
        note="; ".join(notes),
    )


def _cost(shape: Shape, runs: _Runs, beside: _Runs | None) -> Figure:
    """What a delivery takes of a core in the paced round."""
    server, generator, others = runs.cores[-1]
    return Figure(
        measure=NAME,
        name=f"{runs.server.name}, {shape.name}, cost of a delivery at a steady pace",
        value=runs.cost,
        unit="µs of a core",
        ratio=runs.cost / beside.cost if beside else None,
        against=beside.server.name if beside else "",
        server=server,
        generator=generator,
        others=others,
        note=f"{runs.rates[-1]:,.0f} deliveries/s"
        + (f"; {beside.cost:.1f} µs for {beside.server.name}" if beside else ""),
    )
