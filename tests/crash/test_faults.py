"""The machine fails under a running hub in several ways: pixels answer, no hit is lost, and the hub heals."""

from __future__ import annotations

import asyncio
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import pytest

from tests.factories import Store
from tests.faults import FaultyHub
from tests.follower import a_follower
from tests.ledger import a_ledger, asking
from tests.plugins import listening
from tests.processes import PATIENCE_SECONDS, eventually
from tests.servers import Postgres

SOME = 40
NOTHING = 3
"""As many file descriptors as any process has: with this limit it can open no other."""


@dataclass(frozen=True)
class Fault:
    """Something that fails, and what is said of it: by one of the checks of `/readyz`, and in the log."""

    name: str
    begin: Callable[[FaultyHub], AbstractContextManager[None]]
    check: str
    says: str
    logs: str


OF_THE_PROCESS = (
    Fault(
        "file descriptors are used up",
        lambda hub: hub.limit(resource.RLIMIT_NOFILE, NOTHING),
        "server",
        "no file descriptors are left: new connections are refused",
        "no file descriptors are left: new connections are refused",
    ),
    Fault(
        "the clock is set back",
        lambda hub: hub.fault("clock", "-3600000"),
        "server",
        "ok",
        "the clock was set back by 3600 s",
    ),
)
OF_SQLITE = (
    Fault(
        "the disk takes nothing more",
        lambda hub: hub.limit(resource.RLIMIT_FSIZE, 100),
        "recorder",
        r"the spool cannot be written \(File too large\): \d+ hits are in memory only",
        r"the spool cannot be written \(\[Errno 27\] File too large\): \d+ hits are in memory only",
    ),
    Fault(
        "the disk takes small files only",
        lambda hub: hub.limit(resource.RLIMIT_FSIZE, 50_000),
        "recorder",
        r"the database is away \(disk I/O error\); hits go to the spool",
        r"the database is away \(disk I/O error\): hits go to the spool",
    ),
    Fault(
        "the database is full",
        lambda hub: hub.fault("full"),
        "recorder",
        r"the database is away \(database or disk is full\); hits go to the spool",
        r"the database is away \(database or disk is full\): hits go to the spool",
    ),
    Fault(
        "the disk is read-only",
        lambda hub: hub.fault("read-only"),
        "recorder",
        r"the spool cannot be written \(Read-only file system\): \d+ hits are in memory only",
        r"the database is away \(attempt to write a readonly database\): hits go to the spool",
    ),
)
AWAY = "the database is away; hits go to the spool"
FULL = """
CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger AS
    $$BEGIN RAISE EXCEPTION 'no space is left' USING ERRCODE = 'disk_full'; END$$ LANGUAGE plpgsql;
CREATE TRIGGER full_disk BEFORE INSERT ON opens FOR EACH STATEMENT EXECUTE FUNCTION full_disk()
"""


def of_postgresql(server: Postgres, url: str) -> tuple[Fault, ...]:
    """What fails on a server alone; the spool can be written."""
    name = urlsplit(url).path[1:]

    @contextmanager
    def read_only(_: FaultyHub) -> Iterator[None]:
        server.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        server.terminate_sessions(name)
        yield
        server.run(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        server.terminate_sessions(name)

    @contextmanager
    def full(_: FaultyHub) -> Iterator[None]:
        server.run(FULL, name)
        yield
        server.run("DROP TRIGGER full_disk ON opens", name)

    return (
        Fault(
            "the server takes no writes",
            read_only,
            "recorder",
            AWAY,
            r"the database is away \(cannot execute [A-Z ]+ in a read-only transaction\): hits go to the spool"
            r"|the spool waits for the database: cannot execute [A-Z ]+ in a read-only transaction",
        ),
        Fault(
            "the server's disk is full",
            full,
            "recorder",
            AWAY,
            r"the database is away \(no space is left\): hits go to the spool",
        ),
    )


@pytest.fixture
def faults(store: Store, request: pytest.FixtureRequest) -> tuple[Fault, ...]:
    """All that may fail with this kind of database."""
    if store.database.embedded:
        return (*OF_SQLITE, *OF_THE_PROCESS)
    return (*of_postgresql(request.getfixturevalue("postgres"), store.url), *OF_THE_PROCESS)


async def test_hub_on_a_machine_that_fails_loses_no_hit_and_no_event_and_heals(
    store: Store, faults: tuple[Fault, ...], faulty_hub: Callable[[str], FaultyHub]
) -> None:
    user = await store.sender()
    ledger = await a_ledger(store, user, pixels=60000)
    follower = await a_follower(store, user, [hub := faulty_hub(store.url)])
    hub.start()
    async with (
        # It keeps its one connection, because a new one may be refused.
        httpx.AsyncClient(base_url=hub.base_url, timeout=PATIENCE_SECONDS, verify=False) as client,
        listening(follower),
    ):

        async def checks() -> dict[str, str]:
            told: dict[str, str] = (await client.get("/readyz")).json()["checks"]
            return told

        async def said(fault: Fault, logged: int) -> bool:
            told = (await checks())[fault.check]
            return bool(re.fullmatch(fault.says, told) and re.search(fault.logs, hub.output()[logged:]))

        async def well() -> bool:
            return set((await checks()).values()) == {"ok"}

        async with asking(ledger, [hub], 6):
            for fault in faults:
                await eventually(well, what=f"well before {fault.name}")
                logged = len(hub.output())
                with fault.begin(hub):
                    before = len(ledger.answered)
                    await eventually(
                        lambda fault=fault, logged=logged: said(fault, logged),  # type: ignore[misc]
                        what=f"told that {fault.name}",
                    )
                    await eventually(lambda before=before: len(ledger.answered) > before + SOME)  # type: ignore[misc]
            await eventually(well, what="well at the end")
        await follower.check(store)
    assert not ledger.uncertain
    assert not hub.complaints()
    assert await asyncio.to_thread(hub.terminate) == 0
    assert not hub.segments()
    await ledger.check(store.database)
