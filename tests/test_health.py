"""Health: whether the process lives, whether it can do its work, and who may see how it is doing."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import get_args

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from hub.api.health import Metrics
from hub.model import VerdictName
from hub.store.urls import sqlite_path
from tests.api import MACHINE, Hub, Sender, assert_problem, running_hub
from tests.hub_process import Start
from tests.processes import PATIENCE_SECONDS, eventually, wait_until
from tests.servers import Postgres, Valkey

OUTSIDE = {"x-forwarded-for": "203.0.113.9"}


async def test_healthz_answers_anybody(hub: Hub) -> None:
    answer = await hub.http.get("/healthz", headers=OUTSIDE)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_readyz_names_what_it_looked_at(hub: Hub) -> None:
    answer = await hub.http.get("/readyz", headers=OUTSIDE)
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "checks": dict.fromkeys(("database", "recorder", "bus", "server"), "ok"),
    }


def checks(base_url: str) -> tuple[int, dict[str, str]]:
    """What `/readyz` says: its status, and the checks that are not ok."""
    answer = httpx.get(f"{base_url}/readyz", timeout=PATIENCE_SECONDS, verify=False)
    return answer.status_code, {name: said for name, said in answer.json()["checks"].items() if said != "ok"}


def test_readyz_is_503_while_the_database_is_away(
    postgres: Postgres, migrated_postgresql_url: str, start_hub: Start
) -> None:
    hub = start_hub(migrated_postgresql_url)
    assert checks(hub.base_url) == (200, {})
    postgres.stop()
    try:
        status, wrong = checks(hub.base_url)
        assert status == 503
        assert "database" in wrong
        assert httpx.get(f"{hub.base_url}/healthz", timeout=PATIENCE_SECONDS, verify=False).status_code == 200
    finally:
        postgres.start()
    wait_until(lambda: checks(hub.base_url) == (200, {}), what="ready again")
    assert hub.terminate() == 0
    # asyncpg's pool logs a traceback for a connection that it fails to restore; the hub's pool is to restore none.
    assert not [line for line in hub.output().splitlines() if '"exception"' in line or "asyncpg" in line]


async def test_readyz_is_503_while_nothing_can_be_written_though_no_hit_has_come(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with running_hub(tmp_path, migrated_sqlite_url) as hub:
        with closing(sqlite3.connect(sqlite_path(migrated_sqlite_url), isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            answer = await hub.http.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"]["database"] == "the database cannot be written (database is locked)"


def test_readyz_is_503_while_the_bus_is_away(
    valkey: Valkey, redis_url: str, migrated_sqlite_url: str, start_hub: Start
) -> None:
    hub = start_hub(migrated_sqlite_url, REDIS_URL=redis_url)
    valkey.stop()
    try:
        wait_until(lambda: checks(hub.base_url)[0] == 503, what="not ready")
        assert checks(hub.base_url)[1].keys() == {"bus"}
    finally:
        valkey.start()
    wait_until(lambda: checks(hub.base_url) == (200, {}), what="ready again")


async def test_readyz_is_503_while_the_server_goes_down(tmp_path: Path, migrated_sqlite_url: str) -> None:
    async with running_hub(tmp_path, migrated_sqlite_url) as hub:
        await hub.drain()
        answer = await hub.http.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"]["server"] != "ok"


# Metrics


async def test_metrics_are_for_the_machine_itself_and_admins(hub: Hub, sender: Sender) -> None:
    admin = await hub.add_sender("admin")
    assert (await hub.http.get("/metrics")).status_code == 200
    assert_problem(await hub.http.get("/metrics", headers=OUTSIDE), 401)
    assert_problem(await hub.client(authorization="Bearer wrong").get(f"{hub.origin}/metrics", headers=OUTSIDE), 401)
    assert_problem(await sender.http.get(f"{hub.origin}/metrics", headers=OUTSIDE), 403)
    answer = await admin.http.get(f"{hub.origin}/metrics", headers=OUTSIDE)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("claim", ["127.0.0.1, 203.0.113.9", "::1, 203.0.113.9", "localhost, 203.0.113.9"])
async def test_metrics_believe_no_claim_to_be_the_machine_itself(hub: Hub, claim: str) -> None:
    assert_problem(await hub.http.get("/metrics", headers={"x-forwarded-for": claim}), 401)


@pytest.fixture
async def fresh_hub(tmp_path: Path, migrated_sqlite_url: str) -> AsyncIterator[Hub]:
    """A hub that has counted nothing."""
    async with running_hub(tmp_path, migrated_sqlite_url) as hub:
        yield hub


async def samples(hub: Hub) -> dict[str, float]:
    text = (await hub.http.get("/metrics")).text
    return {
        sample.name + "".join(f"/{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "bucket" not in sample.name
    }


async def test_metrics_count_what_happened(fresh_hub: Hub) -> None:
    sender = await fresh_hub.add_sender()
    message = await sender.register()
    await sender.hit(message)
    await sender.hit(message)
    await sender.hit(message, user_agent=MACHINE)
    async with sender.socket():
        counted = await samples(fresh_hub)
        assert counted["glimpse_sockets"] == 1
    assert counted["glimpse_opens_total/human"] == 2
    assert counted["glimpse_opens_total/bot"] == 1
    assert counted["glimpse_batch_hits_sum"] == 3
    assert counted["glimpse_commit_seconds_count"] == counted["glimpse_batch_hits_count"] > 0
    assert (counted["glimpse_bus_up"], counted["glimpse_bus_generation"]) == (1, 1)
    assert (counted["glimpse_queue_bytes"], counted["glimpse_spool_hits"]) == (0, 0)
    await eventually(lambda: has_closed(fresh_hub), what="the socket's end is counted")


async def test_metrics_count_from_zero(fresh_hub: Hub) -> None:
    counted = await samples(fresh_hub)
    labels = {f"opens_total/{verdict}" for verdict in get_args(VerdictName)}
    labels |= {f"hits_total/{result}" for result in ("safe", "forged", "failed")}
    assert {name: counted.get(f"glimpse_{name}") for name in labels} == dict.fromkeys(labels, 0)


def test_metrics_of_one_of_several_processes_say_which_it_is() -> None:
    metrics = Metrics(of_several=True)
    metrics.hit("safe")
    metrics.watch("glimpse_sockets", "Open sockets.", lambda: 3)
    shown = {
        sample.name: sample for f in text_string_to_metric_families(metrics.shown().decode()) for sample in f.samples
    }
    assert shown["glimpse_hits_total"].labels.keys() == {"process", "result"}
    assert shown["glimpse_sockets"].labels == {"process": str(os.getpid())}
    assert shown["glimpse_sockets"].value == 3


async def has_closed(hub: Hub) -> bool:
    counted = await samples(hub)
    return counted["glimpse_sockets"] == 0 and any("glimpse_socket_closes_total" in name for name in counted)


async def test_metrics_name_nobody(hub: Hub, sender: Sender) -> None:
    message = await sender.register("very.private@example.com")
    await sender.hit(message)
    text = (await hub.http.get("/metrics")).text
    assert "@" not in text
    assert not re.search(sender.id + "|" + message["id"], text)
