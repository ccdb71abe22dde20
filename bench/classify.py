# ruff: noqa: T201 - a bench prints
"""What judging a hit costs: `python -m bench.classify`.

Prints the microseconds of each step for a hit with warm caches, what a new and a hostile User-Agent cost, what the
network table costs against a scan, and how much memory many different User-Agents leave in use.
"""

from __future__ import annotations

import csv
import gc
import ipaddress
import random
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ua_parser

from hub.config import LOOPBACK
from hub.model import Visit
from hub.tracking.classify import Context, classify, examine
from hub.tracking.datasets import PLACES_FILE, RELAY_FILE, Datasets
from hub.tracking.visit import NO_PROXIES, TrustedProxies, read_visit
from tests.mmdb import city, write_mmdb

HITS = 50_000
PROXIES = TrustedProxies(LOOPBACK)
RELAY_NETWORKS = 14_000
PLACES = 2_000
DIFFERENT = 20_000
MANY = 1_000_000
SENT, NOW = 1_790_000_000_000, 1_790_003_600_000
BROWSER = (
    "Mozilla/5.0 (Linux; Android 14; SM-S{:06}) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/{}.0.0.0 Mobile Safari/537.36"
)


def microseconds(act: Callable[[Any], object], inputs: Sequence[Any]) -> float:
    """The mean time of `act` over `inputs`, the best of three runs."""
    best = float("inf")
    for _ in range(3):
        gc.collect()
        started = time.perf_counter()
        for item in inputs:
            act(item)
        best = min(best, time.perf_counter() - started)
    return best / len(inputs) * 1e6


def data_sets(folder: Path, dice: random.Random) -> Datasets:
    """A relay list about as long as Apple's when merged, and a small city database."""
    relay = {
        ipaddress.ip_network((dice.getrandbits(20) << 12 | 0xAC000000, 31), strict=False) for _ in range(RELAY_NETWORKS)
    }
    (folder / RELAY_FILE).write_text("".join(f"{network},US,US-WA,Seattle,\n" for network in relay))
    records = {
        f"81.{number >> 8}.{number & 255}.0/24": city(f"City {number}", "Region", "Country", "GB")
        for number in range(PLACES)
    }
    write_mmdb(folder / PLACES_FILE, records)
    return Datasets.load(folder, None)


def scopes(dice: random.Random) -> list[dict[str, Any]]:
    """Requests as they come behind one proxy: the corpus's User-Agents, from a few thousand readers."""
    with (Path(__file__).parent.parent / "tests" / "corpus" / "hits.tsv").open(encoding="utf-8") as file:
        rows = list(csv.reader((line for line in file if line[0] != "#"), delimiter="\t", quoting=csv.QUOTE_NONE))
    agents = [row[6].encode() for row in rows[1:]]
    return [
        {
            "client": ("127.0.0.1", 50000),
            "headers": [
                (b"host", b"t.example.com"),
                (b"user-agent", dice.choice(agents)),
                (b"accept", b"image/avif,image/webp,*/*;q=0.8"),
                (b"x-forwarded-for", f"81.{dice.randrange(8)}.{dice.randrange(250)}.{dice.randrange(4)}".encode()),
            ],
        }
        for _ in range(HITS)
    ]


def visit(user_agent: str, address: str = "81.2.69.160") -> Visit:
    return Visit("m", 1, NOW, address, user_agent)


def main() -> int:
    """Print the figures; the exit status is 1 if one is over what is allowed."""
    dice = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        data = data_sets(Path(folder), dice)
        failed = speed(data, dice)
        failed |= hostile(data)
        failed |= memory(data)
    return failed


def speed(data: Datasets, dice: random.Random) -> bool:
    """The steps of a hit, warm, and the table against a scan."""
    requests = scopes(dice)

    def read(scope: dict[str, Any]) -> Visit:
        return read_visit(scope, message_id="m", position=1, at=NOW, trusted_proxies=PROXIES)

    visits = [read(scope) for scope in requests]
    evidence = [examine(one, data) for one in visits]
    context = Context(SENT)
    print(f"a hit, warm caches, {HITS:,} hits of {len({one.user_agent for one in visits}):,} User-Agents:")
    steps = {
        "read_visit": microseconds(read, requests),
        "examine (agent, network, place, device)": microseconds(lambda one: examine(one, data), visits),
        "classify": microseconds(lambda one: classify(one, NOW, context), evidence),
    }
    for name, cost in steps.items():
        print(f"  {name:42} {cost:8.2f} us")
    total = sum(steps.values())
    print(f"  {'together (allowed: 40)':42} {total:8.2f} us")

    addresses = [one.address for one in visits[:2000]]
    networks = [ipaddress.ip_network((dice.getrandbits(32), 24), strict=False) for _ in range(RELAY_NETWORKS)]

    def scan(address: str) -> bool:
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in networks)

    table, scanned = microseconds(data.owner, addresses), microseconds(scan, addresses[:20])
    print(f"whose network, of {RELAY_NETWORKS:,}:")
    print(f"  table {table:.2f} us, scan {scanned:.0f} us, ratio {scanned / table:,.0f}")
    return total > 40


def hostile(data: Datasets) -> bool:
    """A User-Agent never seen before, capped and of 8 KB."""
    number = iter(range(10_000_000))

    def capped(size: int) -> Callable[[Any], object]:
        def act(_: Any) -> object:
            raw = (BROWSER.format(next(number), 1) + " (" * size)[:size].encode()
            scope = {"client": ("203.0.113.9", 1), "headers": [(b"user-agent", raw)]}
            return examine(read_visit(scope, message_id="m", position=1, at=NOW, trusted_proxies=NO_PROXIES), data)

        return act

    capped(512)(None)  # the first one compiles the parser's tables
    short, long = microseconds(capped(512), range(300)), microseconds(capped(8192), range(300))
    print(f"a new User-Agent, parsed by {ua_parser.BestAvailableResolver.__module__}:")
    print(f"  of 512 bytes {short:.0f} us, of 8 KB {long:.0f} us, ratio {long / short:.2f} (allowed: 1.25)")
    return long / short > 1.25


def memory(data: Datasets) -> bool:
    """What different User-Agents and addresses leave behind: browsers, then very many others."""

    def leave(make: Callable[[int], Visit], times: int) -> float:
        gc.collect()
        tracemalloc.start()
        for number in range(times):
            examine(make(number), data)
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return kept / 1e6

    def browser(number: int) -> Visit:
        return visit(
            BROWSER.format(number, number % 200), f"81.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        )

    some = leave(browser, DIFFERENT)
    started = time.perf_counter()
    for number in range(MANY):
        examine(visit(f"curl/{number}.{'x' * 40}"), data)
    spent = time.perf_counter() - started
    more = leave(lambda number: visit(f"wget/{number}.{'x' * 40}"), DIFFERENT)
    print(f"memory kept by {DIFFERENT:,} different browsers: {some:.1f} MB")
    print(f"then {MANY:,} different tools took {spent / MANY * 1e6:.1f} us each; {DIFFERENT:,} more keep {more:.1f} MB")
    return max(some, more) > 32


if __name__ == "__main__":
    sys.exit(main())
