"""Measure 6, growth: the request behind each page, with ten thousand, a million and (`--long`) ten million opens, in a
quick run with a hundred thousand in the place of a million; and the deletion of old rows while hits are recorded.

A query's time is that of the whole REST request. The requests come one after the other on one connection, for things
drawn at random.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench import load, servers
from bench.bulk import NEVER_SAW, SENDERS, TEMPLATES, Grown, grow, grown_id
from bench.figures import BenchError, Figure, Setting, percentile, that_must_not_be
from bench.hits import SOON_MS
from bench.load import Load
from bench.mixture import READER, Hit
from bench.report import number
from bench.servers import DurablePostgres, Server
from bench.world import pixel_path
from hub.config import Config
from hub.model import DAY_MS
from hub.store.database import Database

NAME = "growth"
GOAL = 2.0
SECONDS = 120.0
RETENTION_HITS = 200
RETENTION_CONNECTIONS = 16
SWEEP_SECONDS = 10.0
LOOK_SECONDS = 0.25
TURNS = 4
LEFT = 500
"""A page shows 50, and of 500 each sender has 100, of which 75 opens are counted. None of the first opens are: each
message's first is a machine's."""

NOTHING_SEEN = "me, with nothing ever seen"

Ask = Callable[[Grown, random.Random], str]

QUERIES: dict[str, Ask] = {
    "list, newest": lambda _grown, _dice: "/messages?limit=50",
    "list, further back": lambda grown, dice: f"/messages?limit=50&cursor={_back(0, grown.messages, dice)}",
    "list, opened": lambda _grown, _dice: "/messages?limit=50&opened=true",
    "list, never opened": lambda _grown, _dice: "/messages?limit=50&opened=false",
    "list, one template": lambda _grown, dice: f"/messages?limit=50&template=template%20{dice.randrange(TEMPLATES)}",
    "list, search for a reader": lambda grown, dice: f"/messages?limit=50&q=reader{_own_number(grown, dice)}@",
    "history, newest": lambda _grown, _dice: "/opens?limit=50",
    "history, further back": lambda grown, dice: f"/opens?limit=50&cursor={_back(grown.messages, grown.opens, dice)}",
    "history, uncounted too": lambda _grown, _dice: "/opens?limit=50&all=true",
    "history of a message": lambda grown, dice: f"/messages/{_own(grown, dice)}/opens?limit=50&all=true",
    "counters of a message": lambda grown, dice: f"/messages/{_own(grown, dice)}",
    "me, with what is unseen": lambda _grown, _dice: "/me",
    NOTHING_SEEN: lambda _grown, _dice: "/me",
    "log, what was missed": lambda grown, dice: f"/events?after={grown.sequence - dice.randrange(200)}&limit=200",
}


def _own(grown: Grown, dice: random.Random) -> str:
    """A message of the first sender, who is the one that asks."""
    return grown_id(_own_number(grown, dice))


def _own_number(grown: Grown, dice: random.Random) -> int:
    return dice.randrange(grown.messages // SENDERS) * SENDERS


def _back(first: int, end: int, dice: random.Random) -> str:
    """Where a page begins that is full: not so near the `first` of what it shows that too few are left."""
    return grown_id(dice.randrange(first + LEFT, end))


@dataclass
class Asked:
    """What was found of one query at one size: how many nanoseconds each answer took, and the cores of each turn."""

    times: list[int] = field(default_factory=list)
    cores: list[tuple[float, float, float]] = field(default_factory=list)

    def milliseconds(self, percent: float) -> float:
        """The percentile of the answers' times."""
        return percentile(sorted(self.times), percent) / 1e6


def measure(setting: Setting) -> list[Figure]:
    """The worst p99 of each query at a later size beside that at the first; and hits while old rows are deleted."""
    sizes = [10_000, 100_000 if setting.quick else 1_000_000, *([10_000_000] if setting.long else [])]
    figures: list[Figure] = []
    with servers.DurablePostgres() as postgres:
        for name in ("SQLite", "PostgreSQL"):
            with ExitStack() as stack:
                grown = [_grown(setting, name, postgres, size, stack) for size in sizes]
                helpers = () if name == "SQLite" else (postgres.pid,)
                figures += compared(name, [each.opens for each in grown], _queries(setting, name, grown, helpers))
                url = grown[1].url
                with servers.hub(name, setting.folder, url, helpers=helpers, sweep_seconds=SWEEP_SECONDS) as server:
                    figures += _retention(setting, server, grown[1])
    return figures


def _grown(setting: Setting, name: str, postgres: DurablePostgres, size: int, stack: ExitStack) -> Grown:
    """A new database with `size` opens."""
    if name == "SQLite":
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=setting.folder))
        grown = asyncio.run(grow(f"sqlite:///{folder}/hub.db", size))
    else:
        database = stack.enter_context(postgres.database())
        grown = asyncio.run(grow(postgres.url(database), size))
        # PostgreSQL itself does this sooner or later.
        postgres.run("VACUUM ANALYZE", database)
    setting.say(f"{name}: {size:,} opens are in")
    return grown


def _queries(setting: Setting, name: str, grown: Sequence[Grown], helpers: tuple[int, ...]) -> dict[str, list[Asked]]:
    """What was found of each query at each size. Sizes take turns: the machine's speed varies."""
    times, dice = 60 if setting.quick else 250, random.Random(5)
    found: dict[str, list[Asked]] = {}
    with ExitStack() as stack:
        hubs = [stack.enter_context(servers.hub(name, setting.folder, each.url, helpers=helpers)) for each in grown]
        for query, ask in QUERIES.items():
            found[query] = [Asked() for _ in grown]
            for turn in range(1 + TURNS):
                for server, each, asked in zip(hubs, grown, found[query], strict=True):
                    requests = [_request(each, query, ask(each, dice)) for _ in range(times if turn else times // 10)]
                    done, watch = load.watched(server, Load(server.port, requests, 1, SECONDS, once=True))
                    if turn:
                        generator = done.cpu_seconds / watch.seconds
                        asked.times += (*done.latencies, *done.waits)
                        asked.cores.append((watch.server, generator, watch.others(generator)))
            p99 = ", ".join(f"{asked.milliseconds(99):.1f} ms" for asked in found[query])
            setting.say(f"{name}: {query}: {p99}")
    return found


def _request(grown: Grown, query: str, path: str) -> bytes:
    token = grown.world.senders[NEVER_SAW if query == NOTHING_SEEN else 0].token
    return f"GET /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def compared(name: str, sizes: Sequence[int], found: Mapping[str, Sequence[Asked]]) -> list[Figure]:
    """The p99 at the later size at which it is the worst, and its ratio to the p99 at the first."""
    figures = []
    for query, asked in found.items():
        p50, p99 = ([each.milliseconds(percent) for each in asked] for percent in (50, 99))
        worst = max(range(1, len(sizes)), key=p99.__getitem__)
        server, generator, others = map(statistics.median, zip(*asked[worst].cores, strict=True))
        figures.append(
            Figure(
                measure=NAME,
                name=f"{name}, up to {sizes[-1]:,} opens: {query}",
                value=p99[worst],
                unit="ms",
                ratio=p99[worst] / p99[0],
                against=f"that at {sizes[0]:,}",
                goal=GOAL,
                bound="at most",
                server=server,
                generator=generator,
                others=others,
                runs=tuple(p99),
                note=f"the worst is with {sizes[worst]:,}; p99 {_each(p99)} and median {_each(p50)} ms with"
                f" {_each(sizes)} opens",
            )
        )
    return figures


def _each(values: Sequence[float]) -> str:
    return "/".join(number(value) for value in values)


def _retention(setting: Setting, server: Server, grown: Grown) -> list[Figure]:
    """Hits at a steady rate, without a pause from before the sweep until half of the log is deleted."""
    paths = [pixel_path(grown_id(place)) for place in range(0, grown.messages, 7)]
    hits = [Hit(path, READER, "81.2.69.160").request() for path in paths]
    made = Load(server.port, hits, RETENTION_CONNECTIONS, SECONDS, RETENTION_HITS)
    with load.generator(made) as child:
        child.hear(load.PATIENCE_SECONDS)
        left = old = asyncio.run(_count(grown.url))
        if old < grown.opens // 3:
            raise BenchError(f"{server.name}: the sweep of old rows began before the hits did")
        watch = server.watch()
        child.tell("go")
        began = sweeping = time.monotonic()
        while left > old // 100 and time.monotonic() < began + SECONDS:
            time.sleep(LOOK_SECONDS)
            before, left = time.monotonic(), asyncio.run(_count(grown.url))
            sweeping = before if left >= old else sweeping
        child.tell("end")
        done = load.heard(child, made)
        watch.end()
    if left > old // 100:
        raise BenchError(f"{server.name}: {left:,} of {old:,} old events were not deleted in {SECONDS:.0f} s")
    generator = done.cpu_seconds / watch.seconds
    p99, slowest = (done.since(int(sweeping * 1e9), percent) for percent in (99, 100))
    setting.say(f"{server.name}: {old - left:,} old rows deleted, hits' p99 {p99:.1f} ms")
    return [
        Figure(
            measure=NAME,
            name=f"{server.name}, {grown.opens:,} opens: p99 of the answer while old events are deleted",
            value=p99,
            unit="ms",
            goal=SOON_MS,
            bound="at most",
            server=watch.server,
            generator=generator,
            others=watch.others(generator),
            note=f"at {RETENTION_HITS} hits/s, slowest {slowest:.0f} ms; {old - left:,} of {old:,} events deleted"
            f" in {time.monotonic() - sweeping:.1f} s",
        ),
        that_must_not_be(
            NAME,
            f"{server.name}, {grown.opens:,} opens: hits never answered while old events are deleted",
            done.unanswered,
            "hits",
            f"{len(done.latencies):,} answered",
        ),
    ]


async def _count(url: str) -> int:
    """How many events are older than what is kept."""
    database = Database(url)
    await database.connect()
    try:
        before = time.time_ns() // 1_000_000 - Config().log_days * DAY_MS
        row = await database.fetch_one("SELECT count(*) AS n FROM events WHERE at < $1", before)
        return int(row["n"]) if row else 0
    finally:
        await database.disconnect()
