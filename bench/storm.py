"""Measure 5, a reconnect storm: five thousand clients come back at once for what they missed, while hits go on.

Each client names the sequence it saw last, drawn by itself, so that those of one user ask for different pages of its
log; and it has to get every later event of its user, once and in order: those that it missed and those that come
meanwhile. The hub they come back to was just started, and remembers nothing of the log.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack

from bench import load, servers
from bench.crowd import Crowd, Heard
from bench.figures import BenchError, Figure, Setting, that_must_not_be
from bench.load import Load, Loaded
from bench.machine import Watch
from bench.mixture import first_opens
from bench.servers import Server
from bench.sockets import Clients, hub_opening
from bench.world import Letter, World, a_world, build

NAME = "storm"
CLIENTS, PER_USER = 5000, 5
USERS = CLIENTS // PER_USER
LOGGED = 12
"""How many events each user's log has before the storm. Each client saw fewer of them, or none."""

HITS_PER_SECOND = 200
HIT_SECONDS = 10
CONNECTIONS = 64
LIVE_SECONDS = 60.0
LIVE_GOAL = 5.0


def measure(setting: Setting) -> list[Figure]:
    """How soon all are live and have everything, on SQLite and on PostgreSQL, and how hits fared meanwhile."""
    world = a_world(USERS, USERS * LOGGED + HITS_PER_SECOND * HIT_SECONDS)
    with ExitStack() as stack:
        postgres = stack.enter_context(servers.DurablePostgres())
        urls = {
            "SQLite": f"sqlite:///{setting.folder}/hub.db",
            "PostgreSQL": postgres.url(stack.enter_context(postgres.database())),
        }
        helpers = {"SQLite": (), "PostgreSQL": (postgres.pid,)}
        figures = []
        for name, url in urls.items():
            asyncio.run(build(url, world))
            with servers.hub(name, setting.folder, url) as server:
                logged = _requests(world.messages[: USERS * LOGGED])
                load.run(Load(server.port, logged, CONNECTIONS, LIVE_SECONDS, once=True))
            with servers.hub(name, setting.folder, url, helpers=helpers[name], strained=True) as server:
                figures += _storm(setting, server, world)
        return figures


def _storm(setting: Setting, server: Server, world: World) -> list[Figure]:
    during = world.messages[USERS * LOGGED :]
    dice = random.Random(6)
    seen = [dice.randrange(LOGGED) for _ in range(CLIENTS)]
    owners = [sender for sender in world.senders for _ in range(PER_USER)]
    openings = [
        hub_opening(owner.token, "history", after, LOGGED - after) for owner, after in zip(owners, seen, strict=True)
    ]
    meanwhile = Load(server.port, _requests(during), CONNECTIONS, HIT_SECONDS, HITS_PER_SECOND, once=True)
    heads = [head for head in _heads(len(during)) for _ in range(PER_USER)]
    with (
        Clients(Crowd(server.port, openings, at_once=CLIENTS, noting="sequences")) as clients,
        load.generator(meanwhile) as child,
    ):
        child.hear(load.PATIENCE_SECONDS)
        watch = server.watch()
        child.tell("go")
        # Hits go on for a moment before the storm breaks.
        time.sleep(0.5)
        broke = time.monotonic_ns()
        clients.start()
        done = load.heard(child, meanwhile)
        clients.wait(sum(heads) - sum(seen), LIVE_SECONDS, silence=LIVE_SECONDS / 4)
        watch.end()
        heard = clients.heard()
    if not heard.connected:
        raise BenchError(f"{server.name}: no client came back")
    wrong = faulty(heard.sequences, seen, heads)
    return _figures(setting, server, done, heard, watch, broke, wrong)


def faulty(sequences: Sequence[Sequence[int]], seen: Sequence[int], heads: Sequence[int]) -> int:
    """How many clients did not get exactly what came after what they had seen up to their user's head, in order."""
    each = zip(sequences, seen, heads, strict=True)
    return sum(list(got) != list(range(after + 1, head + 1)) for got, after, head in each)


def _heads(during: int) -> list[int]:
    """Where each user's log stands at the end: the messages belong to the users in turn, and each is opened once."""
    return [LOGGED + during // USERS + (number < during % USERS) for number in range(USERS)]


def _requests(messages: Sequence[Letter]) -> list[bytes]:
    return [hit.request() for hit in first_opens(messages, random.Random(4))]


def _figures(
    setting: Setting, server: Server, done: Loaded, heard: Heard, watch: Watch, broke: int, wrong: int
) -> list[Figure]:
    live = (max(heard.connected) - broke) / 1e9
    caught_up = (max(heard.times, default=broke) - broke) / 1e9
    generator = (done.cpu_seconds + heard.cpu_seconds) / watch.seconds
    setting.say(f"{server.name}: live after {live:.1f} s, caught up after {caught_up:.1f} s, {wrong} clients wrong")
    return [
        Figure(
            measure=NAME,
            name=f"{server.name}, until {CLIENTS:,} clients are live and have what they missed",
            # If a client was turned away the storm is not over, however soon the others were back.
            value=max(live, caught_up) if len(heard.times) == CLIENTS else LIVE_SECONDS,
            unit="s",
            goal=LIVE_GOAL,
            bound="at most",
            server=watch.server,
            generator=generator,
            others=watch.others(generator),
            note=f"{len(heard.connected):,} live after {live:.2f} s; {len(heard.times):,} have what they missed",
        ),
        that_must_not_be(
            NAME,
            f"{server.name}, clients that lack an event or have one twice",
            wrong,
            "clients",
            f"{heard.events:,} events delivered, {heard.closed:,} sockets closed"
            + "".join(f", {times:,} with {code}" for code, times in heard.codes.items()),
        ),
        Figure(
            measure=NAME,
            name=f"{server.name}, p99 of the answer to {HITS_PER_SECOND} hits/s meanwhile",
            value=done.milliseconds(99),
            unit="ms",
            note=f"{len(done.latencies):,} answered, {done.unanswered:,} not; slowest {done.milliseconds(100):.0f} ms"
            + (f"; it LOGGED: {error}" if (error := server.error()) else ""),
        ),
    ]
