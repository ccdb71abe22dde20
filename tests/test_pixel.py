"""The pixel over raw connections: the answer is the same bytes whatever was asked for, and real hits are recorded."""

from __future__ import annotations

import asyncio
import base64
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.model import new_id
from hub.tracking.pixel import GIF
from hub.tracking.token import SHARED, Keys
from tests.api import MAIL_PROGRAM, Hub, Sender, assert_problem, plainly_served
from tests.processes import PATIENCE_SECONDS

CONTRACT = {
    "content-type": "image/gif",
    "content-length": "42",
    "cache-control": "no-store, no-cache, must-revalidate, private, max-age=0",
    "pragma": "no-cache",
    "expires": "0",
    "cross-origin-resource-policy": "cross-origin",
    "access-control-allow-origin": "*",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}


async def raw(hub: Hub, path: str, method: str = "GET", *headers: str) -> bytes:
    """The whole answer to one request, as it was on the wire."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    lines = [f"{method} {path} HTTP/1.1", "Host: hub.example.com", "Connection: close", *headers, "", ""]
    writer.write("\r\n".join(lines).encode("latin-1"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def without_date(answer: bytes) -> bytes:
    return re.sub(rb"\r\ndate: [^\r]*", b"", answer)


def path_of(message: dict[str, Any]) -> str:
    url: str = message["pixels"][0]["url"]
    return url[url.index("/o/") :]


def tampered(path: str) -> dict[str, str]:
    """Addresses that look like the good one, `path`, but are not good."""
    token = path.removeprefix("/o/").removesuffix(".gif")
    raw_token = base64.urlsafe_b64decode(token)
    return {
        "forged": f"/o/{base64.urlsafe_b64encode(raw_token[:-1] + bytes([raw_token[-1] ^ 1])).decode()}.gif",
        "another message": "/o/"
        + base64.urlsafe_b64encode(raw_token[:1] + bytes(16) + raw_token[17:]).decode()
        + ".gif",
        "another recipient": "/o/"
        + base64.urlsafe_b64encode(raw_token[:18] + b"\x07" + raw_token[19:]).decode()
        + ".gif",
        "cut": f"/o/{token[:-1]}.gif",
        "empty": "/o/.gif",
        "long": f"/o/{token * 100}.gif",
        "of another key": f"/o/{Keys('another secret').sign(new_id(), SHARED)}.gif",
        "with a path": f"/o/a/b/../{token}x.gif",
        "with percents": "/o/%00%ff%2e%2e.gif",
        "unicode": "/o/%C3%A4.gif",
    }


async def test_answer_is_the_contracts_to_the_letter(hub: Hub, sender: Sender) -> None:
    head, _, body = (await raw(hub, path_of(await sender.register()))).partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    assert status == "HTTP/1.1 200 OK"
    headers = dict(line.split(": ", 1) for line in lines)
    assert len(headers) == len(lines)
    assert {name: value for name, value in headers.items() if name not in ("date", "connection")} == CONTRACT
    assert body == GIF
    assert re.fullmatch(rb"GIF89a\x01\x00\x01\x00\x80\x00\x00.{6}!\xf9\x04\x01\x00\x00\x00\x00,.*;", body, re.DOTALL)


async def test_answer_is_byte_for_byte_the_same_for_a_good_and_any_bad_token(hub: Hub, sender: Sender) -> None:
    message = await sender.register()
    good = without_date(await raw(hub, path_of(message)))
    for name, path in tampered(path_of(message)).items():
        assert without_date(await raw(hub, path)) == good, name
    gone = await sender.register()
    async with hub.database.write() as tx:
        await tx.fetch("DELETE FROM messages WHERE id = $1", gone["id"])
    assert without_date(await raw(hub, path_of(gone))) == good
    assert (await sender.get(f"/messages/{message['id']}"))["hits"] == 1


@pytest.mark.parametrize(
    "header",
    [
        "If-None-Match: *",
        "If-Modified-Since: Mon, 23 Nov 2026 14:00:00 GMT",
        "Range: bytes=0-9",
        "Accept: text/html",
        "Accept-Encoding: gzip, br",
        "Cookie: glimpse=x; __Host-glimpse=y",
        "Authorization: Bearer nobody",
        "Origin: https://evil.example",
        "X-Request-Id: 01234567890123456789",
        "X-Forwarded-Proto: https",
        "X-Forwarded-For: nonsense, \xff",
        "User-Agent: \xff\xfe",
        "Sec-Purpose: prefetch",
        "Upgrade-Insecure-Requests: 1",
        "Expect: nothing",
    ],
)
async def test_answer_is_the_same_whatever_else_is_said(hub: Hub, sender: Sender, header: str) -> None:
    path = path_of(await sender.register())
    assert without_date(await raw(hub, path, "GET", header)) == without_date(await raw(hub, path))


async def test_query_changes_neither_the_answer_nor_the_record(hub: Hub, sender: Sender) -> None:
    message = await sender.register()
    good = without_date(await raw(hub, path_of(message)))
    assert without_date(await raw(hub, path_of(message) + "?utm=x&%00")) == good
    assert (await sender.get(f"/messages/{message['id']}"))["hits"] == 2


async def test_head_has_the_headers_and_records_nothing(hub: Hub, sender: Sender) -> None:
    message = await sender.register()
    answer = without_date(await raw(hub, path_of(message), "HEAD"))
    full = without_date(await raw(hub, path_of(message)))
    assert answer == full.removesuffix(GIF)
    assert (await sender.get(f"/messages/{message['id']}"))["hits"] == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
async def test_other_method_is_a_405_for_a_good_and_a_bad_token_alike(hub: Hub, sender: Sender, method: str) -> None:
    message = await sender.register()
    good = await hub.http.request(method, path_of(message))
    bad = await hub.http.request(method, "/o/x.gif")
    assert_problem(good, 405)
    assert good.content == bad.content
    assert set(good.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert (await sender.get(f"/messages/{message['id']}"))["hits"] == 0


async def test_connection_is_kept_for_the_next_pixel(hub: Hub, sender: Sender) -> None:
    path = path_of(await sender.register())
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    for _ in range(3):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(42) == GIF
        assert b"connection: close" not in head
    writer.close()
    await writer.wait_closed()


async def test_requests_sent_ahead_are_each_answered(hub: Hub, sender: Sender) -> None:
    message = await sender.register()
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    request = f"GET {path_of(message)} HTTP/1.1\r\nHost: x\r\n"
    writer.write((f"{request}\r\n" * 4 + f"{request}Connection: close\r\n\r\n").encode())
    async with asyncio.timeout(PATIENCE_SECONDS):
        answers = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answers.count(b"HTTP/1.1 200 OK") == answers.count(GIF) == 5
    assert (await sender.get(f"/messages/{message['id']}"))["hits"] == 5


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n", "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        ("GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", ""),
        ("GET {path} HTTP/1.0\r\n\r\n", ""),
        ("GET {path}?a=b HTTP/1.1\r\nHost: x\r\n\r\n" * 3, "HEAD {path} HTTP/1.1\r\nConnection: close\r\n\r\n"),
        ("GET /o/forged.gif HTTP/1.1\r\nHost: x\r\n\r\n", "POST {path} HTTP/1.1\r\nConnection: close\r\n\r\n"),
    ],
)
async def test_any_server_answers_as_ours_does(hub: Hub, sender: Sender, first: str, last: str) -> None:
    path = path_of(await sender.register())
    async with plainly_served(hub) as port:
        said = [await conversation(each, f"{first}{last}".format(path=path)) for each in (hub.port, port)]
    assert re.sub(rb"x-request-id: \S+", b"", said[0]) == re.sub(rb"x-request-id: \S+", b"", said[1])
    assert said[0].startswith(b"HTTP/1.1 200 OK")


async def conversation(port: int, requests: str) -> bytes:
    """All that is answered to these requests, up to the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(requests.encode())
    async with asyncio.timeout(PATIENCE_SECONDS):
        answers = without_date(await reader.read())
    writer.close()
    await writer.wait_closed()
    return answers


async def test_answer_waits_for_the_commit(hub: Hub, sender: Sender) -> None:
    message = await sender.register()
    for number in range(1, 6):
        await sender.hit(message)
        row = await hub.database.fetch_one("SELECT count(*) AS n FROM opens WHERE message_id = $1", message["id"])
        assert row is not None
        assert row["n"] == number


async def test_many_hits_at_once_are_each_recorded_once(hub: Hub, sender: Sender) -> None:
    message = await sender.register()
    path = path_of(message)
    answers = await asyncio.gather(
        *(
            raw(hub, path, "GET", f"User-Agent: {MAIL_PROGRAM[0]}", f"X-Forwarded-For: 198.51.100.{n}")
            for n in range(50)
        )
    )
    assert {without_date(answer) for answer in answers} == {without_date(answers[0])}
    shown = await sender.get(f"/messages/{message['id']}")
    assert (shown["opens"], shown["hits"]) == (50, 50)
    assert await sender.head() == 51


async def test_no_cookie_and_no_redirect_whatever_the_path(hub: Hub) -> None:
    for path in ("/o/x.gif", "/o/x.gif/", "/o/x", "/o/", "/o", "/o//x.gif", "/O/x.gif", "/o/x.GIF", "/o/x.png"):
        answer = await raw(hub, path)
        assert answer[:12] in (b"HTTP/1.1 200", b"HTTP/1.1 404"), path
        assert b"set-cookie" not in answer.lower()
        assert b"location:" not in answer.lower()


@settings(max_examples=60)
@given(
    token=st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="?#"), max_size=60)
)
async def test_answer_is_the_same_for_any_token(hub: Hub, token: str) -> None:
    assert without_date(await raw(hub, f"/o/{token}.gif")) == without_date(await raw(hub, "/o/x.gif"))
