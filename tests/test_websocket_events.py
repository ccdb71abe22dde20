"""The WebSocket's streams: what is sent live, and what is replayed to a client that comes back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hub.live.connections import MOST_REPLAYED
from hub.transport_websocket import HubWebSocket
from tests.api import MACHINE, Hub, Sender, plainly_served

Frame = dict[str, Any]


@pytest.fixture(params=["ours", "another"], autouse=True)
async def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, hub: Hub) -> AsyncIterator[None]:
    """Our server takes whole frames; on uvicorn's own everything goes through plain ASGI. Both must send the same."""
    written = 0
    write_frame = HubWebSocket.write_frame

    def counted(websocket: HubWebSocket, frame: bytes) -> bool:
        nonlocal written
        written += (is_written := write_frame(websocket, frame))
        return is_written

    monkeypatch.setattr(HubWebSocket, "write_frame", counted)
    if request.param == "ours":
        yield
        assert written, "our server's way of whole frames was never gone"
        return
    async with plainly_served(hub) as port:
        monkeypatch.setattr(hub, "port", port)
        yield
    assert not written


# What is told


async def test_notifications_carry_what_notifies_and_history_carries_all(sender: Sender) -> None:
    message = await sender.register()
    path = f"/messages/{message['id']}"
    async with sender.socket() as (told, _), sender.socket(stream="history") as (all_, _):
        await sender.hit(message)
        await sender.hit(message, user_agent=MACHINE)
        await sender.patch(path, muted=True)
        await sender.hit(message)
        await sender.patch("/settings", realtime_notifications=False)
        await sender.hit(message)
        await sender.patch("/settings", realtime_notifications=True)
        await sender.patch(path, muted=False)
        await sender.hit(message)
        everything = [await all_.event() for _ in range(9)]
        notified = [await told.event() for _ in range(6)]
    opens = [event["data"] for event in everything if event["type"] == "open.recorded"]
    assert [(o["notify"], o["withheld"]) for o in opens] == [
        (True, None),
        (False, "not_counted"),
        (False, "muted"),
        (False, "realtime_off"),
        (True, None),
    ]
    assert [event["sequence"] for event in everything] == [str(n) for n in range(2, 11)]
    assert notified == [e for e in everything if e["type"] != "open.recorded" or e["data"]["notify"]]


async def test_live_event_is_the_same_as_in_the_log_and_on_a_replay(sender: Sender) -> None:
    async with sender.socket(stream="history") as (socket, _):
        message = await sender.register()
        await sender.hit(message)
        live = [await socket.event() for _ in range(2)]
    async with sender.socket(stream="history", after=0) as (socket, _):
        replayed = [await socket.event() for _ in range(2)]
    log = (await sender.get("/events"))["items"]

    for event in (*live, *replayed, *log):
        del event["source"]
    # The message's figures are as they are now. All else, with the addresses of its pixels, is as it was told live.
    registered = live[0]["data"]["message"]
    counted = await sender.get(f"/messages/{message['id']}")
    assert registered["opens"] == 0
    assert registered["pixels"] == counted["pixels"]
    live[0]["data"]["message"] = counted
    assert live == replayed == log


async def test_mail_addresses_are_in_no_open_of_a_shared_pixel(sender: Sender) -> None:
    async with sender.socket() as (socket, _):
        message = await sender.register("a@example.com", "b@example.com")
        await socket.event("message.registered")
        await sender.hit(message)
        opened = await socket.event("open.recorded")
        assert "@" not in json.dumps(opened["data"]["open"])
        assert opened["data"]["message"]["recipients"] == 2


async def test_every_other_socket_sees_what_one_device_does(sender: Sender, stranger: Sender) -> None:
    message = await sender.register()
    async with (
        sender.socket() as (plugin, _),
        sender.socket(stream="history") as (tab, _),
        stranger.socket(stream="history") as (elsewhere, _),
    ):
        await sender.patch(f"/messages/{message['id']}", muted=True)
        await sender.post("/messages/mute-all")
        await sender.patch("/settings", realtime_notifications=False)
        await plugin.say(type="seen", sequence=1)
        for socket in (plugin, tab):
            assert (await socket.event("message.updated"))["data"]["message"]["muted"]
            assert (await socket.event("messages.muted"))["data"]["muted_all_at"]
            settings = (await socket.event("settings.updated"))["data"]["settings"]
            assert not settings["realtime_notifications"]
            assert (await socket.event("notifications.seen"))["data"] == {"sequence": 1}
        # The stranger was told none of it: their first event is their own.
        own = await stranger.register()
        assert (await elsewhere.event())["subject"] == own["id"]


async def test_viewing_takes_back_what_was_told(sender: Sender) -> None:
    message = await sender.register()
    async with sender.socket() as (socket, _):
        await sender.hit(message)
        told = await socket.event("open.recorded")
        await socket.say(type="viewing", message_id=message["id"])
        back = await socket.event("open.reclassified")
        assert (back["data"]["was"], back["data"]["open"]["verdict"]) == ("human", "self")
        assert back["data"]["open"]["id"] == told["data"]["open"]["id"]
        # From now on hits are the sender's own, so the next event that is told is about something else.
        await sender.hit(message)
        await sender.register()
        await socket.event("message.registered")


async def test_correction_of_an_open_that_was_never_told_goes_to_history_only(sender: Sender) -> None:
    message = await sender.register()
    await sender.patch(f"/messages/{message['id']}", muted=True)
    async with sender.socket() as (told, _), sender.socket(stream="history") as (all_, _):
        await sender.hit(message)
        await sender.post(f"/messages/{message['id']}/viewing")
        await sender.register()
        await all_.event("open.recorded")
        await all_.event("open.reclassified")
        await told.event("message.registered")


# Coming back


async def test_resume_replays_what_was_missed_and_goes_on_live(sender: Sender) -> None:
    for _ in range(3):
        await sender.register()
    async with sender.socket(after=1) as (socket, connected):
        assert (connected["recovered"], connected["sequence"]) == (True, 3)
        await sender.register()
        assert [(await socket.event())["sequence"] for _ in range(3)] == ["2", "3", "4"]


@pytest.mark.parametrize("after", [0, 5, None])
async def test_resume_from_the_start_from_the_head_and_from_now(hub: Hub, sender: Sender, after: int | None) -> None:
    await hub.fill_log(sender, 5)
    async with sender.socket(after=after) as (socket, connected):
        assert connected["recovered"]
        expected = [str(n) for n in range(1, 6)] if after == 0 else []
        await sender.register()
        assert [(await socket.event())["sequence"] for _ in range(len(expected) + 1)] == [*expected, "6"]


async def test_resume_of_an_empty_log_is_recovered(sender: Sender) -> None:
    async with sender.socket(after=0) as (_, connected):
        assert (connected["recovered"], connected["sequence"]) == (True, 0)


async def test_resume_from_beyond_the_log_is_not_recovered(hub: Hub, sender: Sender) -> None:
    await hub.fill_log(sender, 2)
    async with sender.socket(after=3) as (socket, connected):
        assert (connected["recovered"], connected["sequence"]) == (False, 2)
        await sender.register()
        assert (await socket.event())["sequence"] == "3"


async def test_resume_of_1000_events_is_replayed_and_of_one_more_is_not(hub: Hub, sender: Sender) -> None:
    await hub.fill_log(sender, MOST_REPLAYED + 1)
    async with sender.socket(stream="history", after=1) as (socket, connected):
        assert connected["recovered"]
        for sequence in range(2, MOST_REPLAYED + 2):
            assert (await socket.event())["sequence"] == str(sequence)
    async with sender.socket(stream="history", after=0) as (socket, connected):
        assert (connected["recovered"], connected["sequence"]) == (False, MOST_REPLAYED + 1)
        await sender.register()
        assert (await socket.event())["sequence"] == str(MOST_REPLAYED + 2)


async def test_resume_from_before_a_trimmed_log_is_not_recovered(hub: Hub, sender: Sender) -> None:
    await hub.fill_log(sender, 5)
    async with hub.database.write() as tx:
        await tx.fetch("DELETE FROM events WHERE user_id = $1 AND sequence <= 3", sender.id)
    async with sender.socket(after=2) as (_, connected):
        assert not connected["recovered"]
    async with sender.socket(after=3) as (socket, connected):
        assert connected["recovered"]
        assert (await socket.event())["sequence"] == "4"


async def test_replay_tells_only_what_would_be_told_now(sender: Sender) -> None:
    message, other = await sender.register(), await sender.register()
    await sender.hit(message)
    await sender.hit(other)
    await sender.patch(f"/messages/{message['id']}", muted=True)
    async with sender.socket(after=2) as (socket, _):
        told = [await socket.event() for _ in range(2)]
    assert [event["sequence"] for event in told] == ["4", "5"]
    async with sender.socket(after=2, stream="history") as (socket, _):
        first = await socket.event("open.recorded")
    assert (first["data"]["notify"], first["data"]["withheld"]) == (False, "muted")
    await sender.patch(f"/messages/{message['id']}", muted=False)
    await sender.patch("/settings", realtime_notifications=False)
    async with sender.socket(after=2) as (socket, _):
        assert (await socket.event())["sequence"] == "5"


async def test_replay_announces_nothing_late(sender: Sender) -> None:
    message = await sender.register()
    await sender.patch(f"/messages/{message['id']}", muted=True)
    await sender.hit(message)
    await sender.patch(f"/messages/{message['id']}", muted=False)
    async with sender.socket(after=2) as (socket, _):
        assert (await socket.event())["sequence"] == "4"
