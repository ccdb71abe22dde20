"""Upkeep: what a hub does by itself, now and then.

Promise: nothing here is on anybody's path. Whatever fails is logged and tried again at its next turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from hub.live.bus import Bus
from hub.live.connections import Connections
from hub.machine import Machine
from hub.model import Clock
from hub.recorder import Recorder
from hub.store.credentials import Credentials
from hub.store.database import DatabaseAway
from hub.store.retention import Retention
from hub.tracking.datasets import Datasets

logger = logging.getLogger(__name__)

MACHINE_SECONDS = 2.0
DATASETS_SECONDS = 60.0
SWEEP_SECONDS = 600.0
ADOPT_SECONDS = 30.0
USES_SECONDS = 2.0
BUS_DOWN_SECONDS = 5.0
"""How often the log is asked for what other processes did while they cannot tell it."""


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
        clock: Clock,
    ) -> None:
        async def adopt() -> None:
            recorder.adopt()

        async def reload() -> None:
            if await asyncio.to_thread(datasets.reload_if_changed):
                logger.info("data sets were loaded anew")

        async def sweep() -> None:
            removed = await retention.sweep(clock())
            if removed:
                logger.info("%d rows whose time was over were deleted", removed)

        async def stand_in() -> None:
            if not bus.up:
                await connections.check()

        self._credentials = credentials
        machine = Machine(clock)

        async def look() -> None:
            machine.look()

        self._turns: list[tuple[str, float, Callable[[], Awaitable[None]]]] = [
            ("the check of the log", log_check_seconds, connections.check),
            ("the check of the log while the bus is down", BUS_DOWN_SECONDS, stand_in),
            ("the note of what was used", USES_SECONDS, credentials.keep_uses),
            ("the look for spools left behind", ADOPT_SECONDS, adopt),
            ("the look at the machine", MACHINE_SECONDS, look),
            ("the reload of data sets", DATASETS_SECONDS, reload),
            ("the sweep of old rows", SWEEP_SECONDS, sweep),
        ]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Upkeep:
        self._tasks = [asyncio.create_task(_every(*turn), name=turn[0]) for turn in self._turns]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(DatabaseAway):
            await self._credentials.keep_uses()


async def _every(name: str, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except DatabaseAway as error:
            logger.warning("%s waits for the database: %s", name, error)
        except Exception:
            logger.exception("%s failed", name)
