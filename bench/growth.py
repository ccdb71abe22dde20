"""Measure 6, growth: the request behind each page, with ten thousand, a million and (`--long`) ten million opens; and
the deletion of old rows while hits are recorded.

A query's time is that of the whole REST request. The requests come one after the other on one connection, for things
drawn at random.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from bench import load, servers
from bench.bulk import NEVER_SAW, SENDERS, TEMPLATES, Grown, grow, grown_id
from bench.figures import Figure, Setting, percentile
from bench.load import Load, Loaded
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
SLICE_SECONDS = 3.0
SWEEP_SECONDS = 4.0
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


def measure(setting: Setting) -> list[Figure]:
    """The p99 of each query at the last size beside that at the first; and hits while old rows are deleted."""
    sizes = [10_000, 100_000 if setting.quick else 1_000_000, *([10_000_000] if setting.long else [])]
    figures: list[Figure] = []
    with servers.DurablePostgres() as postgres:
        for name in ("SQLite", "PostgreSQL"):
            with ExitStack() as stack:
                grown = [_grown(setting, name, postgres, size, stack) for size in sizes]
                helpers = () if name == "SQLite" else (postgres.pid,)
                figures += _compared(name, grown, _queries(setting, name, grown))
                url = grown[1].url
                with servers.hub(name, setting.folder, url, helpers=helpers, sweep_seconds=SWEEP_SECONDS) as server:
                    figures.append(_retention(setting, server, grown[1]))
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


def _queries(setting: Setting, name: str, grown: Sequence[Grown]) -> dict[str, list[list[int]]]:
    """The sorted times of each query, in nanoseconds, at each size. Sizes take turns: the machine's speed varies."""
    times, dice = 60 if setting.quick else 250, random.Random(5)
    found: dict[str, list[list[int]]] = {}
    with ExitStack() as stack:
        hubs = [stack.enter_context(servers.hub(name, setting.folder, each.url)) for each in grown]
        for query, ask in QUERIES.items():
            runs: list[list[int]] = [[] for _ in grown]
            for turn in range(1 + TURNS):
                for server, each, run in zip(hubs, grown, runs, strict=True):
                    requests = [_request(each, query, ask(each, dice)) for _ in range(times if turn else times // 10)]
                    done = load.run(Load(server.port, requests, 1, SECONDS, once=True))
                    run += done.latencies if turn else []
            found[query] = [sorted(run) for run in runs]
            p99 = ", ".join(f"{percentile(run, 99) / 1e6:.1f} ms" for run in found[query])
            setting.say(f"{name}: {query}: {p99}")
    return found


def _request(grown: Grown, query: str, path: str) -> bytes:
    token = grown.world.senders[NEVER_SAW if query == NOTHING_SEEN else 0].token
    return f"GET /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def _compared(name: str, grown: Sequence[Grown], found: Mapping[str, list[list[int]]]) -> list[Figure]:
    """The p99 at the last size, and its ratio to the p99 at the first."""
    figures = []
    for query, runs in found.items():
        p50, p99 = ([percentile(run, percent) / 1e6 for run in runs] for percent in (50, 99))
        figures.append(
            Figure(
                measure=NAME,
                name=f"{name}, {grown[-1].opens:,} opens: {query}",
                value=p99[-1],
                unit="ms",
                ratio=p99[-1] / p99[0],
                against=f"that at {grown[0].opens:,}",
                goal=GOAL,
                bound="at most",
                runs=tuple(p99),
                note=f"p99 {_each(p99)} and median {_each(p50)} ms with {_each([each.opens for each in grown])} opens",
            )
        )
    return figures


def _each(values: Sequence[float]) -> str:
    return "/".join(number(value) for value in values)


def _retention(setting: Setting, server: Server, grown: Grown) -> Figure:
    """Hits at a steady rate from before the sweep until half of the log is deleted."""
    paths = [pixel_path(grown_id(place)) for place in range(0, grown.messages, 7)]
    hits = [Hit(path, READER, "81.2.69.160").request() for path in paths]
    old = asyncio.run(_count(grown.url))
    watch = server.watch()
    began = time.monotonic()
    done: list[Loaded] = []
    while (left := asyncio.run(_count(grown.url))) > old // 100 and time.monotonic() < began + SECONDS:
        done.append(load.run(Load(server.port, hits, RETENTION_CONNECTIONS, SLICE_SECONDS, RETENTION_HITS)))
    watch.end()
    latencies = sorted(each for run in done for each in (*run.latencies, *run.waits))
    unanswered = sum(run.unanswered for run in done)
    setting.say(f"{server.name}: {old - left:,} old rows deleted, hits' p99 {percentile(latencies, 99) / 1e6:.1f} ms")
    return Figure(
        measure=NAME,
        name=f"{server.name}, {grown.opens:,} opens: p99 of the answer while old events are deleted",
        value=percentile(latencies, 99) / 1e6,
        unit="ms",
        server=watch.server,
        generator=sum(run.cpu_seconds for run in done) / watch.seconds,
        note=f"{len(latencies):,} hits at {RETENTION_HITS}/s, {unanswered} unanswered, slowest"
        f" {latencies[-1] / 1e6:.0f} ms; {old - left:,} of {old:,} events deleted in {watch.seconds:.0f} s",
    )


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
