"""Measure 3, idle sockets: what ten thousand of them cost one process, heartbeats and pings included."""

from __future__ import annotations

import asyncio
import time

from bench import servers
from bench.crowd import Crowd
from bench.figures import BenchError, Figure, Setting
from bench.sockets import Clients, hub_opening
from bench.world import a_world, build

NAME = "idle"
SOCKETS, PER_USER = 10_000, 20
OPEN_SECONDS = 120.0
SETTLE_SECONDS = 5.0
QUICK_SECONDS, LONG_SECONDS = 25, 60
KILOBYTES, CORE_PERCENT = 20.0, 5.0


def measure(setting: Setting) -> list[Figure]:
    """The memory for each socket, and the processor time for all, while each gets heartbeats and pings."""
    seconds = QUICK_SECONDS if setting.quick else LONG_SECONDS
    world = a_world(SOCKETS // PER_USER, 1)
    url = f"sqlite:///{setting.folder}/hub.db"
    asyncio.run(build(url, world))
    openings = [hub_opening(sender.token) for sender in world.senders for _ in range(PER_USER)]
    with servers.hub("one process", setting.folder, url) as server, Clients(Crowd(server.port, openings)) as clients:
        before = server.resident_bytes()
        began = time.monotonic()
        clients.open(OPEN_SECONDS)
        opened = time.monotonic() - began
        setting.say(f"{SOCKETS:,} sockets are live after {opened:.1f} s")
        time.sleep(SETTLE_SECONDS)
        clients.begin()
        watch = server.watch()
        time.sleep(seconds)
        watch.end()
        status = clients.status()
        after = server.resident_bytes()
    if status.live < SOCKETS:
        # Those that are gone cost nothing, and the figures would be the better for it.
        raise BenchError(f"only {status.live:,} of {SOCKETS:,} sockets were still open at the end")
    generator = status.cpu_seconds / watch.seconds
    each = (after - before) / SOCKETS / 1024
    setting.say(f"{each:.1f} KB a socket, {watch.server:.1%} of a core for all")
    opening = f"opened at {SOCKETS / opened:,.0f} a second; none closed, {status.frames:,} frames in {seconds} s"
    return [
        Figure(
            measure=NAME,
            name=f"memory for each of {SOCKETS:,} sockets",
            value=each,
            unit="KiB",
            goal=KILOBYTES,
            bound="at most",
            note=f"the process: {before / 2**20:.0f} MiB before, {after / 2**20:.0f} MiB after; {opening}",
        ),
        Figure(
            measure=NAME,
            name=f"processor for all {SOCKETS:,} sockets",
            value=watch.server * 100,
            unit="% of a core",
            goal=CORE_PERCENT,
            bound="at most",
            server=watch.server,
            generator=generator,
            others=watch.others(generator),
            note=f"{watch.server * 1e6 / SOCKETS:.1f} µs a second for each; heartbeats every 20 s and pings every 25 s",
        ),
    ]
