"""The application: built when it starts, undone when it stops, and what a restart keeps."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path

import pytest

from hub.app import create_app
from hub.config import Config, ConfigError
from tests.api import running_hub

SECRET = "a secret of sixteen or more"


async def test_start_and_stop_leave_no_task_and_no_thread(tmp_path: Path, migrated_url: str) -> None:
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    async with running_hub(tmp_path, migrated_url) as hub:
        sender = await hub.add_sender()
        message = await sender.register()
        await sender.hit(message)
    assert asyncio.all_tasks() == tasks
    left = {thread for thread in set(threading.enumerate()) - threads if not thread.name.startswith("asyncio_")}
    for thread in left:
        thread.join(5)
        assert not thread.is_alive(), thread


async def test_start_that_fails_undoes_what_it_had_built(tmp_path: Path, postgresql_url: str) -> None:
    tasks = asyncio.all_tasks()
    app = create_app(Config(database_url=postgresql_url, spool_dir=tmp_path / "spool", data_dir=tmp_path / "data"))
    with pytest.raises(ConfigError, match="run `glimpse migrate` first"):
        async with app.router.lifespan_context(app):
            raise AssertionError("it started")
    assert asyncio.all_tasks() == tasks


async def test_start_without_an_account_says_how_to_make_one(
    tmp_path: Path, migrated_sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with running_hub(tmp_path, migrated_sqlite_url) as hub:
            await hub.add_sender()
        said = [record.getMessage() for record in caplog.records if "user add" in record.getMessage()]
        assert said == ["there is no account yet: make one with `glimpse user add EMAIL --name NAME`"]
        caplog.clear()
        async with running_hub(tmp_path, migrated_sqlite_url):
            pass
        assert not [record for record in caplog.records if "user add" in record.getMessage()]


async def test_pixels_go_on_working_after_a_restart_and_a_change_of_secret(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    urls = []
    for secret in (None, SECRET, None):
        async with running_hub(tmp_path, migrated_sqlite_url, secret_key=secret) as hub:
            sender = await hub.add_sender()
            message = await sender.register()
            urls.append((sender.token, message["id"], message["pixels"][0]["url"].rpartition("/o/")[2]))
    async with running_hub(tmp_path, migrated_sqlite_url, secret_key=SECRET) as hub:
        for token, message_id, name in urls:
            await hub.http.get(f"/o/{name}", headers={"user-agent": "Mozilla/5.0 Thunderbird/128.3.0"})
            answer = await hub.client(authorization=f"Bearer {token}").get(f"/messages/{message_id}")
            assert answer.json()["hits"] == 1
    async with running_hub(tmp_path, migrated_sqlite_url, secret_key="another secret of its own") as hub:
        token, message_id, name = urls[1]
        await hub.http.get(f"/o/{name}")
        answer = await hub.client(authorization=f"Bearer {token}").get(f"/messages/{message_id}")
        assert answer.json()["hits"] == 1, "a pixel of a secret that is no longer known is forged"


async def test_public_url_is_what_pixels_and_events_begin_with(tmp_path: Path, migrated_sqlite_url: str) -> None:
    async with running_hub(tmp_path, migrated_sqlite_url, public_url="https://hub.example.com/glimpse") as hub:
        sender = await hub.add_sender()
        message = await sender.register()
        assert message["pixels"][0]["url"].startswith("https://hub.example.com/glimpse/o/")
        [event] = (await sender.get("/events"))["items"]
        assert event["source"] == "https://hub.example.com/glimpse"
        assert event["data"]["message"]["pixels"] == message["pixels"]


async def test_request_has_an_id_in_its_answer(tmp_path: Path, migrated_sqlite_url: str) -> None:
    async with running_hub(tmp_path, migrated_sqlite_url) as hub:
        first, second = [(await hub.http.get("/healthz")).headers["x-request-id"] for _ in range(2)]
        assert first != second
        given = {"x-request-id": "0123456789-from-a-router"}
        assert (await hub.http.get("/nothing", headers=given)).headers["x-request-id"] == given["x-request-id"]
        odd = {"x-request-id": "no\tway" * 5}
        assert (await hub.http.get("/healthz", headers=odd)).headers["x-request-id"] != odd["x-request-id"]
