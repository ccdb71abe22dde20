"""Upkeep: what a hub does by itself, now and then.

Promise: nothing here is part of answering a request. Whatever fails is logged and tried again at its next turn; that a
task waits for the database is not logged at each.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from hub.live.bus import Bus
from hub.live.connections import Connections
from hub.logs import WAITING_SECONDS, Seldom
from hub.machine import Machine
from hub.model import Clock
from hub.recorder import Recorder
from hub.store.away import DatabaseAway
from hub.store.credentials import Credentials
from hub.store.retention import Retention
from hub.tracking.datasets import Datasets

logger = logging.getLogger(__name__)

MACHINE_SECONDS = 2.0
"""How often descriptors and the clock are looked at: two system calls."""

DATASETS_SECONDS = 60.0
"""How soon the data sets that `glimpse data update` fetched are used."""

ADOPT_SECONDS = 30.0
"""How soon a living process replays the spool of one that died."""

USES_SECONDS = 2.0
"""How often the uses of credentials are written down, all together: one by one, each was a commit in a storm."""

LAST_USES_SECONDS = 1.0
"""How long that may take when the hub ends, which does not wait for more."""

BUS_DOWN_SECONDS = 5.0
"""How often the log is asked for what other processes did while the bus is down."""

BUS_SECONDS = 2.0
"""An event that a bus that is up has not brought within this time will not come."""

MISSED_SECONDS = 600.0
"""How long a bus that did not bring an event of the log is taken to be down, and the least time between two warnings of
that."""


class Upkeep:
    """Runs the regular tasks of one process while it is entered."""

    def __init__(
        self,
        connections: Connections,
        bus: Bus,
        recorder: Recorder,
        retention: Retention,
        datasets: Datasets,
        credentials: Credentials,
        *,
        log_check_seconds: float,
        sweep_seconds: float,
        clock: Clock,
    ) -> None:
        self._connections = connections
        self._bus = bus
        self._recorder = recorder
        self._retention = retention
        self._datasets = datasets
        self._credentials = credentials
        self._machine = Machine(clock)
        self._clock = clock
        self._turns: list[tuple[str, float, Callable[[], Awaitable[None]]]] = [
            ("the check of the log", log_check_seconds, self._check_the_log),
            ("the check of the log while the bus is down", BUS_DOWN_SECONDS, self._stand_in_for_the_bus),
            ("the note of what was used", USES_SECONDS, credentials.keep_uses),
            ("the look for spools left behind", ADOPT_SECONDS, self._adopt),
            ("the look at the machine", MACHINE_SECONDS, self._look_at_the_machine),
            ("the reload of data sets", DATASETS_SECONDS, self._reload),
            ("the sweep of old rows", sweep_seconds, self._sweep),
        ]
        self._tasks: list[asyncio.Task[None]] = []
        self._misses_until = 0.0
        """Until when, by `time.monotonic`, the log is asked as if the bus were down."""
        self._warnings = Seldom(MISSED_SECONDS)

    async def __aenter__(self) -> Upkeep:
        self._tasks = [asyncio.create_task(_every(*turn), name=turn[0]) for turn in self._turns]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Not for long: the recorder is stopped after this, and its hits are worth more.
        with contextlib.suppress(DatabaseAway, TimeoutError):
            async with asyncio.timeout(LAST_USES_SECONDS):
                await self._credentials.keep_uses()

    async def _check_the_log(self) -> None:
        """Have listeners read the events they were not told of, and warn if the bus should have brought these."""
        link = self._bus.up, self._bus.generation
        if await self._connections.check(BUS_SECONDS) and link == (True, self._bus.generation) and self._bus.up:
            self._misses_until = time.monotonic() + MISSED_SECONDS
            if self._warnings.may_say():
                logger.warning(
                    "events that the bus had not brought were read from the log, seconds late: the database or this "
                    "machine was slow, or not all processes on this database have the same REDIS_URL"
                )

    async def _stand_in_for_the_bus(self) -> None:
        if not self._bus.up:
            await self._connections.check()
        elif time.monotonic() < self._misses_until:
            await self._check_the_log()

    async def _adopt(self) -> None:
        self._recorder.adopt()

    async def _look_at_the_machine(self) -> None:
        self._machine.look()

    async def _reload(self) -> None:
        if await asyncio.to_thread(self._datasets.reload_if_changed):
            logger.info("data sets were loaded anew")

    async def _sweep(self) -> None:
        removed = await self._retention.sweep(self._clock())
        if removed:
            logger.info("%d rows whose time was over were deleted", removed)


async def _every(name: str, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    warnings, waits = Seldom(WAITING_SECONDS), False
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except DatabaseAway as error:
            waits = True
            if warnings.may_say():
                logger.warning("%s waits for the database: %s", name, error)
        except Exception:
            logger.exception("%s failed", name)
        else:
            if waits:
                logger.info("%s goes on: the database answers again", name)
            waits = False
            warnings.forget()
