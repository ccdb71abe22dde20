"""Server-sent events: the same streams as the WebSocket's, for clients that cannot open one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sse_starlette import EventSourceResponse
from sse_starlette.sse import AppStatus, _get_shutdown_state

from hub.live import sse
from hub.live.connections import MOST_REPLAYED
from hub.live.sse import Streams
from hub.model import User
from hub.store.away import DatabaseAway
from hub.store.credentials import Credentials
from hub.store.users import Users
from tests.api import MACHINE, Hub, Sender, assert_problem, running_hub
from tests.documents import assert_streamed
from tests.processes import PATIENCE_SECONDS, eventually

Told = dict[str, str]


class Stream:
    """A stream as an EventSource reads it. What its events say is checked as `tests.documents` does."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def block(self) -> Told:
        """The fields of the next block of lines; a comment is under ""."""
        block: Told = {}
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for line in self._lines:
                if not line:
                    assert_streamed(block)
                    return block
                name, _, value = line.partition(":")
                block[name] = value.removeprefix(" ")
        raise EOFError

    async def event(self) -> Told:
        """The next block that is an event."""
        while "event" not in (block := await self.block()):
            pass
        return block

    async def ended(self) -> bool:
        """Wait for the end, passing over what still comes."""
        try:
            while True:
                await self.block()
        except EOFError:
            return True


@asynccontextmanager
async def streamed(client: httpx.AsyncClient, headers: Told | None = None, **query: Any) -> AsyncIterator[Stream]:
    async with client.stream("GET", "/stream", params=query, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        yield Stream(response)


async def test_stream_says_what_it_is_and_when_to_come_back(sender: Sender) -> None:
    async with streamed(sender.http) as stream:
        headers = stream.response.headers
        assert headers["content-type"].startswith("text/event-stream")
        assert "no-store" in headers["cache-control"]
        assert headers["x-accel-buffering"] == "no"
        assert int((await stream.block())["retry"]) >= 1000


async def test_event_on_a_stream_is_the_one_in_the_log(sender: Sender) -> None:
    async with streamed(sender.http, stream="history") as stream:
        message = await sender.register()
        await sender.hit(message)
        registered, opened = await stream.event(), await stream.event()
    assert (registered["id"], registered["event"]) == ("1", "message.registered")
    assert (opened["id"], opened["event"]) == ("2", "open.recorded")
    data = json.loads(opened["data"])
    [_, logged] = (await sender.get("/events"))["items"]
    assert data | {"source": ""} == logged | {"source": ""}


async def test_streams_carry_what_they_are_for(sender: Sender) -> None:
    message = await sender.register()
    async with (
        streamed(sender.http, stream="notifications") as told,
        streamed(sender.http, stream="history") as all_,
        streamed(sender.http) as unnamed,
    ):
        await sender.hit(message, user_agent=MACHINE)
        await sender.hit(message)
        assert (await all_.event())["id"] == "2"
        assert (await all_.event())["id"] == "3"
        assert (await told.event())["id"] == "3"
        assert (await unnamed.event())["id"] == "3"


async def test_cookie_is_enough_and_needs_no_origin(sender: Sender) -> None:
    browser = await sender.log_in()
    async with streamed(browser) as stream:
        await sender.register()
        assert (await stream.event())["event"] == "message.registered"


@pytest.mark.parametrize("way", ["header", "query"])
async def test_last_event_id_resumes_by_header_or_query(hub: Hub, sender: Sender, way: str) -> None:
    await hub.fill_log(sender, 5)
    headers = {"last-event-id": "3"} if way == "header" else None
    query = {"last_event_id": "3"} if way == "query" else {}
    async with streamed(sender.http, headers, **query) as stream:
        assert [(await stream.event())["id"] for _ in range(2)] == ["4", "5"]
        await sender.register()
        assert (await stream.event())["id"] == "6"


async def test_last_event_id_of_the_header_goes_before_that_of_the_query(hub: Hub, sender: Sender) -> None:
    await hub.fill_log(sender, 5)
    async with streamed(sender.http, {"last-event-id": "4"}, last_event_id="1") as stream:
        assert (await stream.event())["id"] == "5"


async def test_client_that_comes_back_before_the_first_event_misses_none(hub: Hub, sender: Sender) -> None:
    await hub.fill_log(sender, 5)
    async with streamed(sender.http) as stream:
        begins = await stream.block()
    assert begins.keys() == {"id", "retry"}
    await sender.register()
    async with streamed(sender.http, {"last-event-id": begins["id"]}) as stream:
        assert (await stream.block()).keys() == {"retry"}
        assert (await stream.event())["id"] == "6"


@pytest.mark.parametrize("after", ["0", ""])
async def test_last_event_id_of_zero_replays_all_and_an_empty_one_nothing(hub: Hub, sender: Sender, after: str) -> None:
    await hub.fill_log(sender, 2)
    async with streamed(sender.http, {"last-event-id": after}) as stream:
        await sender.register()
        first = await stream.event()
        assert first["id"] == ("1" if after == "0" else "3")


@pytest.mark.parametrize("lost", [0, MOST_REPLAYED + 2])
async def test_reset_says_where_the_log_stands_when_the_rest_cannot_be_replayed(
    hub: Hub, sender: Sender, lost: int
) -> None:
    await hub.fill_log(sender, MOST_REPLAYED + 1)
    async with streamed(sender.http, last_event_id=lost) as stream:
        reset = await stream.event()
        assert (reset["event"], reset["id"]) == ("reset", str(MOST_REPLAYED + 1))
        assert json.loads(reset["data"]) == {"sequence": MOST_REPLAYED + 1}
        await sender.register()
        assert (await stream.event())["id"] == str(MOST_REPLAYED + 2)


async def test_stream_that_has_more_than_the_log_ends_and_is_reset(hub: Hub, sender: Sender) -> None:
    await hub.fill_log(sender, 30)
    async with streamed(sender.http) as stream:
        await hub.cut_log(sender, 10)
        await sender.register()
        assert await stream.ended()
    async with streamed(sender.http, {"last-event-id": "30"}) as stream:
        reset = await stream.event()
        assert (reset["event"], reset["id"]) == ("reset", "11")


@pytest.mark.parametrize(
    ("query", "headers", "field"),
    [
        ({"stream": "everything"}, {}, "stream"),
        ({"stream": ""}, {}, "stream"),
        ({"after": "1"}, {}, "after"),
        ({"last_event_id": "-1"}, {}, "last_event_id"),
        ({"last_event_id": "x"}, {}, "last_event_id"),
        ({}, {"last-event-id": "1.5"}, "last_event_id"),
        ({}, {"last-event-id": "9" * 16}, "last_event_id"),
        ({"token": "x"}, {}, "token"),
    ],
)
async def test_stream_with_a_wrong_query_is_a_422(sender: Sender, query: Told, headers: Told, field: str) -> None:
    body = assert_problem(await sender.http.get("/stream", params=query, headers=headers), 422)
    assert [error["field"] for error in body["errors"]] == [field]


async def test_stream_over_the_limit_of_a_user_is_a_429(tmp_path: Path, migrated_sqlite_url: str) -> None:
    async with running_hub(tmp_path, migrated_sqlite_url, max_sockets_per_user=1) as hub:
        sender = await hub.add_sender()
        # A socket takes no stream's place, nor a stream a socket's.
        async with streamed(sender.http), sender.socket():
            answer = await sender.http.get("/stream")
            assert_problem(answer, 429)
            assert int(answer.headers["retry-after"]) > 0


async def test_comment_comes_in_silence_and_the_stream_ends_by_itself(tmp_path: Path, migrated_sqlite_url: str) -> None:
    settings = {"heartbeat_seconds": 0.3, "stream_seconds": 2.5}
    async with running_hub(tmp_path, migrated_sqlite_url, **settings) as hub:
        sender = await hub.add_sender()
        async with streamed(sender.http) as stream:
            await stream.block()
            assert (await stream.block())[""] == "heartbeat"
            assert await stream.ended()
        assert "glimpse_sockets 0.0" in (await hub.http.get("/metrics")).text


async def test_stream_says_how_far_it_has_come_though_it_left_out_what_came(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with running_hub(tmp_path, migrated_sqlite_url, heartbeat_seconds=0.1) as hub:
        sender = await hub.add_sender()
        message = await sender.register()
        async with streamed(sender.http) as stream:
            await sender.hit(message, user_agent=MACHINE)
            assert (await stream.block())["id"] == "1"
            for _ in range(5):
                if "id" in (block := await stream.block()):
                    break
            assert block == {"id": "2"}
            await sender.hit(message)
            assert (await stream.event())["id"] == "3"
            assert await stream.block() == {"": "heartbeat"}, "it does not say again what an event said"


async def test_comments_come_as_often_as_a_sockets_heartbeats(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[EventSourceResponse] = []

    class Noted(sse._Stream):
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **options)
            begun.append(self)

    monkeypatch.setattr(sse, "_Stream", Noted)
    async with streamed(sender.http), sender.socket() as (_, connected):
        assert [each.ping_interval for each in begun] == [connected["heartbeat"]]


async def test_streams_that_began_together_end_at_different_times(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.live.sse.random.uniform", lambda _least, _most: 0.0)
    async with streamed(sender.http) as stream:
        assert await stream.ended(), "how long it lasts is a matter of chance"


async def test_stream_ends_when_the_server_goes_down(tmp_path: Path, migrated_sqlite_url: str) -> None:
    async with running_hub(tmp_path, migrated_sqlite_url) as hub:
        sender = await hub.add_sender()
        async with streamed(sender.http) as stream:
            await hub.drain()
            assert await stream.ended()


@pytest.mark.parametrize("why", ["it goes down", "its database is away"])
async def test_event_source_is_given_an_empty_stream_where_others_are_refused(
    tmp_path: Path, migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """A browser comes back by itself after a stream that ends, but never after a refusal."""
    async with running_hub(tmp_path, migrated_sqlite_url) as hub:
        sender = await hub.add_sender()
        if why == "it goes down":
            await hub.drain()
        else:
            monkeypatch.setattr(Credentials, "by_token", away)
        assert_problem(await sender.http.get("/stream"), 503)
        async with streamed(sender.http, {"accept": "text/event-stream"}) as stream:
            assert stream.response.headers["content-type"].startswith("text/event-stream")
            assert stream.response.headers["cache-control"] == "no-store", "it is not for the next who comes"
            assert (await stream.block()).keys() == {"retry"}
            assert await stream.ended()


@pytest.mark.parametrize(("token", "query", "status"), [("wrong", "", 401), ("", "?stream=everything", 422)])
async def test_event_source_that_asks_for_what_it_cannot_have_is_refused(
    sender: Sender, token: str, query: str, status: int
) -> None:
    """An empty stream would have it come back for ever."""
    headers = {"accept": "text/event-stream"} | ({"authorization": f"Bearer {token}"} if token else {})
    assert_problem(await sender.http.get(f"/stream{query}", headers=headers), status)


async def away(*_: object) -> None:
    raise DatabaseAway("gone")


async def test_stream_that_is_revoked_ends_without_the_events_it_had_left(hub: Hub, sender: Sender) -> None:
    await hub.fill_log(sender, 5)
    sockets = hub.app.state.socket
    streams, connections = Streams(sockets._auth, sockets._connections, sockets._config), sockets._connections
    listener = connections.add(sender.id, "history", "token:another")
    user = await sockets._auth.by_token(sender.token)
    assert await connections.start(listener, user.user, 0)
    said = streams._events(listener, 0, True, 5)
    assert (await anext(said)).startswith(b"retry:")
    assert (await anext(said)).startswith(b"id: 1\n")
    listener.close(4401, "revoked")
    assert [each async for each in said] == []


async def test_database_away_for_a_moment_leaves_a_stream_open(
    hub: Hub, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.live.connections.RETRY_SECONDS", 0.01)
    get, failures = Users.get, 0

    async def away_at_first(users: Users, user_id: str) -> User | None:
        nonlocal failures
        if failures < 2:
            failures += 1
            raise DatabaseAway("gone")
        return await get(users, user_id)

    async with streamed(sender.http) as stream:
        await stream.block()
        monkeypatch.setattr(Users, "get", away_at_first)
        hub.app.state.socket._connections.resync()
        await eventually(lambda: failures == 2)
        await sender.register()
        assert (await stream.event())["event"] == "message.registered"


async def test_token_revoked_while_its_stream_begins_is_a_401(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(*_: object) -> None:
        return None

    with monkeypatch.context() as revoked:
        revoked.setattr(Credentials, "reload", gone)
        for _ in range(30):
            assert_problem(await sender.http.get("/stream"), 401)
    async with streamed(sender.http) as stream:
        await sender.register()
        await stream.event()


async def test_stream_goes_on_after_the_signal_until_it_is_drained(
    tmp_path: Path, migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sse-starlette hears the signal by itself, too, and would cut the stream off."""
    async with running_hub(tmp_path, migrated_sqlite_url) as hub:
        sender = await hub.add_sender()
        message = await sender.register()
        async with streamed(sender.http) as stream:
            await stream.block()
            monkeypatch.setattr(AppStatus, "should_exit", True)
            await eventually(lambda: not _get_shutdown_state().watcher_started, what="it has heard the signal")
            await sender.hit(message)
            assert (await stream.event())["event"] == "open.recorded"
            await hub.drain()
            assert await stream.ended()


async def test_head_of_a_stream_is_answered_and_holds_no_place(sender: Sender) -> None:
    for _ in range(30):
        answer = await sender.http.head("/stream")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
    async with streamed(sender.http) as stream:
        await sender.register()
        await stream.event()
