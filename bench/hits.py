"""Measure 1, durable hits: how many a second one process commits and answers, and how soon at half of that rate.

Every run of the hub is paired with a run of each yardstick, in changing order, and the ratio is the median of these
pairs, because the machine itself changes from minute to minute.
"""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import load, servers, wrk
from bench.classify import data_sets
from bench.figures import Figure, Setting, paired_ratio
from bench.mixture import Hit, mixed
from bench.servers import Server
from bench.world import Letter, World, a_world, build

NAME = "hits"
SENDERS, MESSAGES = 100, 5000
CONNECTIONS = 64
HITS = 40_000
GOALS = {"SQLite": 0.40, "PostgreSQL": 0.35}
SOON_MS = 25.0
EMPTY_GIF = "location /o/ { empty_gif; }"


def measure(setting: Setting) -> list[Figure]:
    """Throughput of the hub on each database beside the yardsticks, and the answer's p99 at half of it."""
    rounds, seconds = (3, 2) if setting.quick else (5, 4)
    with _hubs(setting.folder) as (hubs, world), ExitStack() as stack:
        bare = stack.enter_context(servers.bare(setting.folder))
        missing = servers.lacking()
        nginx = None if missing else stack.enter_context(servers.nginx("nginx empty_gif", setting.folder, EMPTY_GIF))
        if missing:
            setting.say(f"a yardstick is missing: {missing}")
        many = _Runs(setting, [*hubs, bare, *filter(None, [nginx])], world.messages, seconds)
        many.run(rounds)
        one = _Runs(setting, [*hubs, bare], world.messages[:1], seconds)
        one.run(rounds)
        figures = [_throughput(many, each, bare, nginx) for each in hubs]
        figures.append(_throughput(many, bare, None, nginx))
        figures += [_throughput(many, nginx, None, None)] if nginx else []
        figures += [_throughput(one, each, bare, None, ", all on one pixel") for each in hubs]
        figures += [_left_behind(many, each) for each in hubs]
        for each in hubs:
            figures.append(_soon(setting, each, world.messages, statistics.median(many.rates[each.name]) / 2))
        return figures


class _Runs:
    """Runs of several servers by turns."""

    def __init__(self, setting: Setting, these: Sequence[Server], messages: Sequence[Letter], seconds: int) -> None:
        self._setting = setting
        self._servers = list(these)
        self._messages = messages
        self._seconds = seconds
        self._dice = random.Random(1)
        self.rates: dict[str, list[float]] = {each.name: [] for each in these}
        self.cores: dict[str, list[tuple[float, float, float]]] = {each.name: [] for each in these}
        self.costs: dict[str, list[float]] = {each.name: [] for each in these}
        """The microseconds of a core that a server took for each answer."""
        self.answers = dict.fromkeys(self.rates, 0.0)
        self.resident: dict[str, list[int]] = {each.name: [] for each in these}
        """Memory in use in bytes, after the round that warms up and after each later one."""

    def run(self, rounds: int) -> None:
        """Make `rounds` rounds, each with a run of every server, after one that warms them up and is not counted."""
        for number in range(rounds + 1):
            hits = mixed(self._messages, HITS, self._dice)
            for each in self._servers:
                self._one(each, hits, counted=number > 0)
                self.resident[each.name].append(each.resident_bytes())
            self._servers.append(self._servers.pop(0))

    def _one(self, server: Server, hits: Sequence[Hit], *, counted: bool) -> None:
        seconds = self._seconds if counted else 1
        watch = server.watch()
        rate, generator = wrk.rate(server.port, hits, CONNECTIONS, seconds, self._setting.folder)
        watch.end()
        self._setting.say(f"{server.name}: {rate:,.0f} hits/s{'' if counted else ' (warming up)'}")
        if counted:
            self.rates[server.name].append(rate)
            self.answers[server.name] += rate * seconds
            self.cores[server.name].append((watch.server, generator, watch.others(generator)))
            self.costs[server.name].append(watch.taken / (rate * seconds) * 1e6)


def _throughput(runs: _Runs, server: Server, bare: Server | None, nginx: Server | None, what: str = "") -> Figure:
    rates = runs.rates[server.name]
    against = bare or nginx
    beside = [f"{paired_ratio(rates, runs.rates[nginx.name]):.3f} of {nginx.name}"] if bare and nginx else []
    server_cores, generator, others = map(statistics.median, zip(*runs.cores[server.name], strict=True))
    beside.append(f"{statistics.median(runs.costs[server.name]):.0f} µs of a core each")
    return Figure(
        measure=NAME,
        name=f"{server.name}{what}",
        value=statistics.median(rates),
        unit="hits/s",
        ratio=paired_ratio(rates, runs.rates[against.name]) if against else None,
        against=against.name if against else "",
        goal=None if what else GOALS.get(server.name),
        server=server_cores,
        generator=generator,
        others=others,
        runs=tuple(rates),
        note="; ".join(beside),
    )


def _left_behind(runs: _Runs, server: Server) -> Figure:
    """The memory that hits leave in use: what caches still take in, or what is never let go."""
    hits, resident = runs.answers[server.name], runs.resident[server.name]
    return Figure(
        measure=NAME,
        name=f"{server.name}, memory that a hit leaves in use",
        value=max(0, resident[-1] - resident[0]) / hits,
        unit="B",
        note=f"{resident[0] / 2**20:.0f} MiB once warm, {resident[-1] / 2**20:.0f} MiB {hits:,.0f} hits later",
    )


def _soon(setting: Setting, server: Server, messages: Sequence[Letter], rate: float) -> Figure:
    seconds = 5.0 if setting.quick else 15.0
    requests = [hit.request() for hit in mixed(messages, HITS, random.Random(2))]
    done, watch = load.watched(server, load.Load(server.port, requests, CONNECTIONS, seconds, rate))
    setting.say(f"{server.name} at {rate:,.0f} hits/s: p99 {done.milliseconds(99):.1f} ms")
    return Figure(
        measure=NAME,
        name=f"{server.name}, p99 of the answer at half that load",
        value=done.milliseconds(99),
        unit="ms",
        goal=SOON_MS,
        bound="at most",
        server=watch.server,
        generator=done.cores,
        others=watch.others(done.cores),
        note=f"at {done.rate:,.0f} hits/s: p50 {done.milliseconds(50):.1f} ms, p99.9 {done.milliseconds(99.9):.1f} ms"
        + (f"; {done.unanswered:,} NEVER ANSWERED" if done.unanswered else ""),
    )


@contextmanager
def _hubs(folder: Path) -> Iterator[tuple[list[Server], World]]:
    """The hub on SQLite and on PostgreSQL, with the same world, and that world."""
    data = folder / "data"
    data.mkdir()
    data_sets(data, random.Random(1))
    with ExitStack() as stack:
        postgres = stack.enter_context(servers.DurablePostgres())
        database = stack.enter_context(postgres.database())
        urls = {"SQLite": f"sqlite:///{folder}/hub.db", "PostgreSQL": postgres.url(database)}
        world = a_world(SENDERS, MESSAGES)
        for url in urls.values():
            asyncio.run(build(url, world))
        helpers = {"PostgreSQL": (postgres.pid,)}
        yield (
            [
                stack.enter_context(servers.hub(name, folder, url, data=data, helpers=helpers.get(name, ())))
                for name, url in urls.items()
            ],
            world,
        )
