"""Clients come and go while opens arrive, and each event reaches them once and in order."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from hub.model import Stream
from tests.api import MACHINE, Sender
from tests.processes import PATIENCE_SECONDS

OPENS = 120
EVENTS = OPENS + 1


async def senders_work(sender: Sender, messages: list[dict[str, Any]], chance: random.Random) -> None:
    """Opens by people and machines, and changes of messages in between, in several tasks at once.

    The last of the `EVENTS` is one that every stream carries.
    """

    async def work(count: int) -> None:
        for _ in range(count):
            message = chance.choice(messages)
            match chance.random():
                case number if number < 0.7:
                    await sender.hit(message)
                case number if number < 0.85:
                    await sender.hit(message, user_agent=MACHINE)
                case _:
                    await sender.patch(f"/messages/{message['id']}", provider=None)

    await asyncio.gather(*(work(OPENS // 6) for _ in range(6)))
    await sender.patch(f"/messages/{messages[0]['id']}", provider=None)


async def follow(sender: Sender, stream: Stream, last: int, until: asyncio.Event, chance: random.Random) -> list[int]:
    """What a client hears over many short connections; it comes back each time with the last sequence it has seen."""
    heard: list[int] = []
    while True:
        finishing = until.is_set()
        async with sender.socket(stream=stream, after=last) as (socket, connected):
            assert connected["recovered"]
            # While the work goes on, leave after some events; after it, stay to the end of the log.
            target = await sender.head() if finishing else last + chance.randint(1, 12)
            while last < target:
                try:
                    frame = await socket.hear(PATIENCE_SECONDS if finishing else 0.3)
                except TimeoutError:
                    assert not finishing, f"nothing came after {last}, though the log goes to {target}"
                    break
                if frame["type"] == "event":
                    last = int(frame["event"]["sequence"])
                    heard.append(last)
        if finishing:
            return heard


@pytest.mark.parametrize("stream", ["notifications", "history"])
async def test_reconnecting_clients_hear_each_event_once_and_in_order(sender: Sender, stream: Stream) -> None:
    chance = random.Random(7)
    messages = [await sender.register() for _ in range(3)]
    start = await sender.head()
    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        followers = [
            group.create_task(follow(sender, stream, start, done, random.Random(number))) for number in range(4)
        ]
        staying = group.create_task(listen(sender, stream, start, done))
        await senders_work(sender, messages, chance)
        done.set()
    log = (await sender.get("/events", after=start, limit=1000))["items"]
    assert [int(event["sequence"]) for event in log] == list(range(start + 1, start + EVENTS + 1))
    carried = [
        int(event["sequence"])
        for event in log
        if stream == "history" or event["type"] != "open.recorded" or event["data"]["notify"]
    ]
    for follower in followers:
        assert follower.result() == carried
    assert staying.result() == carried


async def listen(sender: Sender, stream: Stream, after: int, until: asyncio.Event) -> list[int]:
    """What a client that stays hears, up to the end of the log."""
    heard: list[int] = []
    async with sender.socket(stream=stream, after=after) as (socket, _):
        while True:
            finishing = until.is_set()
            if finishing and (heard or [after])[-1] >= await sender.head():
                return heard
            try:
                frame = await socket.hear(PATIENCE_SECONDS if finishing else 0.5)
            except TimeoutError:
                assert not finishing, f"nothing came after {heard[-1:]}"
                continue
            if frame["type"] == "event":
                heard.append(int(frame["event"]["sequence"]))


async def test_clients_that_are_cut_off_at_any_moment_lose_nothing(sender: Sender) -> None:
    """The transport is torn away without a close, with frames on their way."""
    messages = [await sender.register() for _ in range(2)]
    start = last = await sender.head()
    chance, heard = random.Random(3), []
    working = asyncio.create_task(senders_work(sender, messages, chance))
    while not working.done():
        async with sender.socket(stream="history", after=last) as (socket, connected):
            assert connected["recovered"]
            asyncio.get_running_loop().call_later(chance.uniform(0.001, 0.1), socket.connection.transport.abort)
            try:
                while True:
                    last = int((await socket.event())["sequence"])
                    heard.append(last)
            except ConnectionClosed:
                continue
    await working
    async with sender.socket(stream="history", after=last) as (socket, connected):
        for _ in range(connected["sequence"] - last):
            heard.append(int((await socket.event())["sequence"]))
    assert heard == list(range(start + 1, start + EVENTS + 1))


async def test_streams_that_come_and_go_hear_each_event_once(sender: Sender) -> None:
    """The same over server-sent events, with `Last-Event-ID`."""
    messages = [await sender.register() for _ in range(2)]
    start = last = await sender.head()
    chance, heard = random.Random(5), []

    async def some(count: int) -> None:
        nonlocal last
        headers = {"last-event-id": str(last)}
        async with sender.http.stream("GET", "/stream?stream=history", headers=headers) as response:
            async for line in response.aiter_lines():
                if line.startswith("id: "):
                    last = int(line[4:])
                    heard.append(last)
                    count -= 1
                if count == 0:
                    return

    working = asyncio.create_task(senders_work(sender, messages, chance))
    while len(heard) < EVENTS:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await some(min(chance.randint(1, 15), EVENTS - len(heard)))
    await working
    assert heard == list(range(start + 1, start + EVENTS + 1))


async def test_counters_add_up_after_everything_at_once(sender: Sender) -> None:
    recipients = [f"r{number}@example.com" for number in range(5)]
    message = await sender.register(*recipients, pixels="per_recipient")
    hits = [sender.hit(message, number % 5) for number in range(40)]
    machines = [sender.hit(message, number % 5, user_agent=MACHINE) for number in range(10)]
    changes = [sender.patch(f"/messages/{message['id']}", muted=bool(number % 2)) for number in range(10)]
    await asyncio.gather(*hits, *machines, *changes)
    shown = await sender.get(f"/messages/{message['id']}")
    assert (shown["opens"], shown["hits"]) == (40, 50)
    assert [recipient["opens"] for recipient in shown["recipients"]] == [8] * 5
    opens = (await sender.get("/opens", limit=100))["items"]
    assert len(opens) == 40
    assert min(found["at"] for found in opens) == shown["first_opened_at"]
    assert max(found["at"] for found in opens) == shown["last_opened_at"]
    log = (await sender.get("/events", limit=1000))["items"]
    assert [int(event["sequence"]) for event in log] == list(range(1, 62))


async def test_senders_at_once_have_a_gapless_log_each(sender: Sender, stranger: Sender) -> None:
    mine, theirs = await sender.register(), await stranger.register()
    await asyncio.gather(
        *(sender.hit(mine) for _ in range(30)),
        *(stranger.hit(theirs) for _ in range(30)),
        *(sender.register() for _ in range(5)),
    )
    for each, length in ((sender, 36), (stranger, 31)):
        log = await each.get("/events", limit=1000)
        assert [int(event["sequence"]) for event in log["items"]] == list(range(1, length + 1))
        assert log["sequence"] == length
