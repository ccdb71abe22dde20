"""The WebSocket over real connections: who may open one, and which frames can be used."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from hub import transport_websocket
from hub.live.allowance import FRAMES_AT_ONCE
from hub.server import FRAME_BYTES
from hub.transport_websocket import HubWebSocket
from tests.api import Hub, Sender, Socket

Frame = dict[str, Any]

QUICK_SECONDS = 0.2


# Who is asking


async def test_connected_frame_says_who_the_user_is_and_where_the_log_stands(hub: Hub, sender: Sender) -> None:
    await sender.register()
    async with sender.socket() as (_, connected):
        assert connected == {
            "type": "connected",
            "user": {"id": sender.id, "email": sender.email, "name": "A Sender"},
            "settings": {"realtime_notifications": True, "muted_all_at": None},
            "sequence": 1,
            "seen_sequence": 0,
            "recovered": True,
            "heartbeat": 20,
        }
    async with hub.socket() as socket:
        assert socket.connection.subprotocol == "glimpse.v1"


async def test_token_in_a_header_is_enough(hub: Hub, sender: Sender) -> None:
    async with hub.socket(additional_headers={"authorization": f"Bearer {sender.token}"}) as socket:
        await socket.say(type="connect")
        assert (await socket.hear())["user"]["id"] == sender.id


async def test_cookie_with_our_origin_is_enough(hub: Hub, sender: Sender) -> None:
    browser = await sender.log_in()
    cookie = {"cookie": f"glimpse={browser.cookies['glimpse']}"}
    async with hub.socket(origin=hub.origin, additional_headers=cookie) as socket:
        await socket.say(type="connect", stream="history", after=None)
        assert (await socket.hear())["user"]["id"] == sender.id


async def test_cookie_is_enough_beside_what_the_browser_tells_a_proxy(hub: Hub, sender: Sender) -> None:
    browser = await sender.log_in()
    headers = {"cookie": f"glimpse={browser.cookies['glimpse']}", "authorization": "Basic dXNlcjpwYXNz"}
    async with hub.socket(origin=hub.origin, additional_headers=headers) as socket:
        await socket.say(type="connect")
        assert (await socket.hear())["user"]["id"] == sender.id
    with pytest.raises(InvalidStatus) as refused:
        async with hub.socket(origin="https://evil.example", additional_headers=headers):
            pass
    assert refused.value.response.status_code == 403


async def test_secure_cookie_through_a_trusted_proxy_is_enough(hub: Hub, sender: Sender) -> None:
    browser = await sender.log_in(**{"x-forwarded-proto": "https"})
    headers = {"cookie": f"__Host-glimpse={browser.cookies['__Host-glimpse']}", "x-forwarded-proto": "https"}
    async with hub.socket(origin=hub.origin.replace("http", "https"), additional_headers=headers) as socket:
        await socket.say(type="connect")
        assert (await socket.hear())["user"]["id"] == sender.id


async def test_token_in_the_first_frame_goes_before_the_cookie(hub: Hub, sender: Sender, stranger: Sender) -> None:
    browser = await stranger.log_in()
    cookie = {"cookie": f"glimpse={browser.cookies['glimpse']}"}
    async with hub.socket(origin=hub.origin, additional_headers=cookie) as socket:
        await socket.say(type="connect", token=sender.token)
        assert (await socket.hear())["user"]["id"] == sender.id


async def test_token_in_the_first_frame_needs_no_origin(hub: Hub, sender: Sender) -> None:
    async with hub.socket(origin="https://mail.example") as socket:
        await socket.say(type="connect", token=sender.token)
        assert (await socket.hear())["type"] == "connected"


@pytest.mark.parametrize("origin", [None, "https://evil.example", "null", "https://127.0.0.1"])
async def test_cookie_with_a_foreign_origin_or_none_is_refused_before_the_upgrade(
    hub: Hub, sender: Sender, origin: str | None
) -> None:
    browser = await sender.log_in()
    cookie = {"cookie": f"glimpse={browser.cookies['glimpse']}"}
    with pytest.raises(InvalidStatus) as refused:
        async with hub.socket(origin=origin, additional_headers=cookie):
            pass
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body or b"")["status"] == 403


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/ws/", "/ws", "/"])
async def test_socket_at_another_address_is_refused_as_any_request_there(hub: Hub, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://127.0.0.1:{hub.port}{path}"):
            pass
    answer = refused.value.response
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert json.loads(answer.body or b"")["detail"] == "There is nothing at this address."


async def test_token_in_the_address_of_a_socket_is_not_taken(hub: Hub, sender: Sender) -> None:
    async with connect(f"{hub.ws_url}?token={sender.token}", subprotocols=["glimpse.v1"]) as connection:  # type: ignore[list-item]
        socket = Socket(connection)
        await socket.say(type="connect")
        assert await socket.closed() == 4401


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer wrong"},
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"authorization": ""},
    ],
)
async def test_header_that_is_no_token_is_closed_with_4401(hub: Hub, headers: dict[str, str]) -> None:
    async with hub.socket(additional_headers=headers) as socket:
        assert await socket.closed() == 4401


@pytest.mark.parametrize("first", [{}, {"token": ""}, {"token": "wrong"}, {"token": "x" * 60_000}, {"token": "\0"}])
async def test_first_frame_without_a_good_token_is_closed_with_4401(hub: Hub, first: Frame) -> None:
    async with hub.socket() as socket:
        await socket.say(type="connect", **first)
        assert await socket.closed() == 4401


async def test_expired_cookie_is_closed_with_4401(hub: Hub) -> None:
    async with hub.socket(origin=hub.origin, additional_headers={"cookie": "glimpse=long-gone"}) as socket:
        await socket.say(type="connect")
        assert await socket.closed() == 4401


async def test_client_that_offers_no_subprotocol_is_served(hub: Hub, sender: Sender) -> None:
    async with hub.socket(subprotocols=None) as socket:
        await socket.say(type="connect", token=sender.token)
        assert (await socket.hear())["type"] == "connected"
        assert socket.connection.subprotocol is None


async def test_client_of_another_subprotocol_is_closed_with_4400(hub: Hub) -> None:
    async with hub.socket(subprotocols=["graphql-ws"]) as socket:
        assert await socket.closed() == 4400


async def test_subprotocol_is_chosen_among_others(hub: Hub) -> None:
    async with hub.socket(subprotocols=["glimpse.v2", "glimpse.v1"]) as socket:
        assert socket.connection.subprotocol == "glimpse.v1"


# Frames that cannot be used

FIRST_FRAMES = [
    b"",
    b"hello",
    b"{",
    b"[]",
    b"null",
    b"{}",
    b'{"type":"hello"}',
    b'{"type":"viewing","message_id":"x"}',
    b'{"type":"seen","sequence":1}',
    b'{"type":"connect","stream":"everything"}',
    b'{"type":"connect","after":-1}',
    b'{"type":"connect","after":"7"}',
    b'{"type":"connect","after":1.5}',
    b'{"type":"connect","after":18014398509481984}',
    b'{"type":"connect","token":7}',
    b'{"type":"connect","colour":"red"}',
    b'{"type":"connect","token":"\\ud800"}',
    b"[" * 60_000,
]


@pytest.mark.parametrize("frame", FIRST_FRAMES)
async def test_first_frame_that_is_not_connect_is_closed_with_4400(hub: Hub, frame: bytes) -> None:
    async with hub.socket() as socket:
        await socket.connection.send(frame.decode())
        assert await socket.closed() == 4400


async def test_binary_first_frame_is_closed_with_4400(hub: Hub) -> None:
    async with hub.socket() as socket:
        await socket.connection.send(b'{"type":"connect"}')
        assert await socket.closed() == 4400
        assert socket.connection.close_reason == "binary frames are not part of the protocol"


LATER_FRAMES: list[tuple[str | bytes, str]] = [
    ("", "bad_frame"),
    ("hello", "bad_frame"),
    (b"\x00\xff", "bad_frame"),
    (b'{"type":"seen","sequence":0}', "bad_frame"),
    ("[" * 60_000, "bad_frame"),
    ('{"type":"nothing"}', "bad_frame"),
    ('{"type":"connect"}', "bad_frame"),
    ('{"type":"viewing"}', "bad_frame"),
    ('{"type":"viewing","message_id":7}', "bad_frame"),
    ('{"type":"seen","sequence":-1}', "bad_frame"),
    ('{"type":"seen","sequence":null}', "bad_frame"),
    ('{"type":"seen","sequence":1,"more":2}', "bad_frame"),
    ('{"type":"viewing","message_id":"x"}', "not_found"),
    ('{"type":"viewing","message_id":"\\u0000"}', "not_found"),
    ('{"type":"viewing","message_id":"06d80000000000000000000000"}', "not_found"),
    ('{"type":"seen","sequence":999}', "beyond_the_log"),
]


async def test_later_frame_that_cannot_be_used_is_answered_and_the_socket_stays(sender: Sender) -> None:
    async with sender.socket(stream="history") as (socket, _):
        for frame, code in LATER_FRAMES:
            await socket.connection.send(frame)
            answer = await socket.hear()
            assert (answer["type"], answer["code"]) == ("error", code), frame
            assert answer["detail"]
            assert len(json.dumps(answer)) < 1000
        await sender.register()
        await socket.event("message.registered")


async def test_viewing_of_somebody_elses_message_is_not_found(sender: Sender, stranger: Sender) -> None:
    message = await sender.register()
    async with stranger.socket() as (socket, _):
        await socket.say(type="viewing", message_id=message["id"])
        assert (await socket.hear())["code"] == "not_found"


async def test_frame_over_64_kib_is_closed_with_1009(sender: Sender) -> None:
    async with sender.socket() as (socket, _):
        await socket.connection.send("x" * FRAME_BYTES)
        assert (await socket.hear())["code"] == "bad_frame"
        await socket.connection.send("x" * (FRAME_BYTES + 1))
        assert await socket.closed() == 1009


async def test_text_that_is_not_utf_8_is_closed_with_1007_and_logs_no_error(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    for frames in (b"\xff\xfe", [b"{", b"\xc3"]):
        async with hub.socket() as socket:
            await socket.connection.send(frames, text=True)
            assert await socket.closed() == 1007
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("server", ["ours", "another"])
async def test_too_many_frames_are_closed_with_4429(
    hub: Hub, sender: Sender, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    monkeypatch.setattr(transport_websocket, "REFUSED_SECONDS", QUICK_SECONDS)
    before = await closed_for_frames(hub)
    if server == "another":
        monkeypatch.setattr(HubWebSocket, "handle_events", WebSocketsSansIOProtocol.handle_events)
    async with sender.socket() as (socket, _):
        for _ in range(FRAMES_AT_ONCE * 2):
            await socket.say(type="seen", sequence=0)
        assert await socket.closed() == 4429
    assert await closed_for_frames(hub) == before + 1


@pytest.mark.parametrize("connected", [False, True])
async def test_too_many_pings_are_closed_with_4429(
    hub: Hub, sender: Sender, monkeypatch: pytest.MonkeyPatch, connected: bool
) -> None:
    monkeypatch.setattr(transport_websocket, "REFUSED_SECONDS", QUICK_SECONDS)
    before = await closed_for_frames(hub)
    async with hub.socket(ping_interval=None) as socket:
        if connected:
            await socket.say(type="connect", token=sender.token)
            assert (await socket.hear())["type"] == "connected"
        for _ in range(FRAMES_AT_ONCE * 2):
            await socket.connection.ping()
        assert await socket.closed() == 4429
    assert await closed_for_frames(hub) == before + 1


async def closed_for_frames(hub: Hub) -> int:
    """How many sockets were closed with 4429."""
    found = re.search(r'closes_total{code="4429"} (\d+)', (await hub.http.get("/metrics")).text)
    return int(found[1]) if found else 0


async def test_many_frames_within_the_allowance_are_all_taken(sender: Sender) -> None:
    async with sender.socket() as (socket, _):
        for _ in range(FRAMES_AT_ONCE - 10):
            await socket.connection.send("x")
        for _ in range(FRAMES_AT_ONCE - 10):
            assert (await socket.hear())["code"] == "bad_frame"
