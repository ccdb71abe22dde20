"""Measure 2, hit to screen: the time from when a hit is due to when its event is read at each of two sockets.

Each hit is the first open of a message of its own, so that its event can be told from all others.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from bench import load, servers
from bench.crowd import Crowd, Heard
from bench.figures import BenchError, Figure, Setting, percentile, that_must_not_be
from bench.load import Load, Loaded
from bench.machine import Watch
from bench.mixture import first_opens
from bench.servers import Server
from bench.sockets import Clients, hub_opening
from bench.world import Letter, World, a_world, build
from tests.servers import Valkey

NAME = "screen"
USERS, SOCKETS = 1000, 2
RATES = (500, 2000, 5000)
CONNECTIONS = 128
WARM_UP_HITS = 1000
OPEN_SECONDS = 60.0
ARRIVE_SECONDS = 20.0
GOAL_RATE = 2000
P50_MS, P99_MS = 10.0, 50.0


def measure(setting: Setting) -> list[Figure]:
    """The time at each rate, with one process on SQLite and with two on PostgreSQL and Valkey."""
    seconds = 3.0 if setting.quick else 8.0
    world = a_world(USERS, WARM_UP_HITS + int(sum(RATES) * seconds))
    figures: list[Figure] = []
    with _one(setting, world) as server:
        figures += _rates(setting, server, world, seconds)
    with _two(setting, world) as server:
        figures += _rates(setting, server, world, seconds)
    return figures


def _rates(setting: Setting, server: Server, world: World, seconds: float) -> list[Figure]:
    openings = [hub_opening(sender.token) for sender in world.senders for _ in range(SOCKETS)]
    figures: list[Figure] = []
    with Clients(Crowd(server.port, openings, noting="subjects")) as clients:
        clients.open(OPEN_SECONDS)
        _run(server, clients, world.messages[:WARM_UP_HITS], WARM_UP_HITS / 5)
        at = WARM_UP_HITS
        for rate in RATES:
            messages = world.messages[at : at + int(rate * seconds)]
            at += len(messages)
            done, heard, watch, ended = _run(server, clients, messages, rate)
            took, lost = times(messages, done, heard, ended), len(missing(messages, heard))
            p50, p99, *never = _figures(server, rate, done, heard, watch, took, lost)
            figures += (p50, p99, *never)
            setting.say(f"{server.name} at {rate:,} hits/s: {p50.value:.1f} ms, p99 {p99.value:.1f} ms")
    return figures


def _run(server: Server, clients: Clients, messages: Sequence[Letter], rate: float) -> tuple[Loaded, Heard, Watch, int]:
    requests = [hit.request() for hit in first_opens(messages, random.Random(3))]
    made = Load(server.port, requests, CONNECTIONS, len(messages) / rate, rate, once=True)
    with load.generator(made) as child:
        child.hear(load.PATIENCE_SECONDS)
        clients.begin()
        watch = server.watch()
        child.tell("go")
        done = load.heard(child, made)
        clients.wait(SOCKETS * len(messages), ARRIVE_SECONDS)
        watch.end()
        heard, ended = clients.heard(), time.monotonic_ns()
    return done, heard, watch, ended


def times(messages: Sequence[Letter], done: Loaded, heard: Heard, ended: int) -> list[int]:
    """The nanoseconds from each hit's due time to each event that came of it, the shortest first.

    An event that never came took at least until the waiting `ended`, and a hit that was never answered is taken for one
    that was due with the first.
    """
    if not done.due:
        raise BenchError("no hit was answered")
    due = dict.fromkeys((each.id.encode() for each in messages), min(done.due))
    due |= {messages[number].id.encode(): at for number, at in zip(done.numbers, done.due, strict=True)}
    pairs = zip(heard.subjects, heard.times, strict=True)
    came = [at - due[subject] for subject, at in pairs if subject in due]
    return sorted((*came, *(ended - due[subject] for subject in missing(messages, heard))))


def missing(messages: Sequence[Letter], heard: Heard) -> list[bytes]:
    """The message of each event that did not come, of one for each socket of each message's sender; one that came twice
    makes up for no other."""
    came = Counter(heard.subjects)
    return [subject for each in messages for subject in [each.id.encode()] * (SOCKETS - came[each.id.encode()])]


def _figures(
    server: Server, rate: int, done: Loaded, heard: Heard, watch: Watch, took: list[int], lost: int
) -> list[Figure]:
    generator = (done.cpu_seconds + heard.cpu_seconds) / watch.seconds
    came = f"{lost:,} NEVER CAME" if lost else "all came"
    goals = {50: P50_MS, 99: P99_MS} if rate == GOAL_RATE else {}
    figures = [
        Figure(
            measure=NAME,
            name=f"{server.name}, {rate:,} hits/s, p{percent}",
            value=percentile(took, percent) / 1e6,
            unit="ms",
            goal=goals.get(percent),
            bound="at most",
            server=watch.server,
            generator=generator,
            others=watch.others(generator),
            note=f"{done.rate:,.0f} answered a second, their p{percent} {done.milliseconds(percent):.1f} ms; {came}",
        )
        for percent in (50, 99)
    ]
    if goals:
        # The percentiles alone would forgive the loss of one in a hundred.
        name = f"{server.name}, {rate:,} hits/s, events that never came"
        figures.append(that_must_not_be(NAME, name, lost, "events", f"of {len(took):,}"))
    return figures


@contextmanager
def _one(setting: Setting, world: World) -> Iterator[Server]:
    url = f"sqlite:///{setting.folder}/hub.db"
    asyncio.run(build(url, world))
    with servers.hub("one process", setting.folder, url) as server:
        yield server


@contextmanager
def _two(setting: Setting, world: World) -> Iterator[Server]:
    with ExitStack() as stack:
        postgres, valkey = stack.enter_context(servers.DurablePostgres()), stack.enter_context(Valkey())
        url = postgres.url(stack.enter_context(postgres.database()))
        asyncio.run(build(url, world))
        helpers = (postgres.pid, valkey.pid)
        yield stack.enter_context(
            servers.hub("two processes", setting.folder, url, redis_url=valkey.url, workers=2, helpers=helpers)
        )
