"""Idempotency keys over REST: the same request twice is one message and one answer."""

from __future__ import annotations

import asyncio

import pytest

from hub.wire import encode
from tests.api import Hub, Sender, assert_problem
from tests.test_api_messages import LEAST


async def test_same_key_and_body_give_the_same_answer_and_one_message(sender: Sender) -> None:
    headers = {"idempotency-key": "one"}
    first = await sender.http.post("/messages", json=LEAST, headers=headers)
    second = await sender.http.post("/messages", json=LEAST, headers=headers)
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert first.status_code == 201
    assert len((await sender.get("/messages"))["items"]) == 1
    assert await sender.head() == 1


async def test_same_key_with_another_body_is_a_422(sender: Sender) -> None:
    headers = {"idempotency-key": "one"}
    await sender.http.post("/messages", json=LEAST, headers=headers)
    answer = await sender.http.post("/messages", json=LEAST | {"subject": "Another"}, headers=headers)
    assert [error["field"] for error in assert_problem(answer, 422)["errors"]] == ["Idempotency-Key"]
    assert await sender.head() == 1


async def test_same_key_of_another_sender_is_another_key(sender: Sender, stranger: Sender) -> None:
    headers = {"idempotency-key": "one"}
    mine = await sender.http.post("/messages", json=LEAST, headers=headers)
    theirs = await stranger.http.post("/messages", json=LEAST | {"subject": "Theirs"}, headers=headers)
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert mine.json()["id"] != theirs.json()["id"]


async def test_same_key_many_times_at_once_is_one_message(sender: Sender) -> None:
    headers = {"idempotency-key": "one"}
    answers = await asyncio.gather(*(sender.http.post("/messages", json=LEAST, headers=headers) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await sender.head() == 1


async def test_key_after_a_refused_body_is_still_free(sender: Sender) -> None:
    headers = {"idempotency-key": "one"}
    assert_problem(await sender.http.post("/messages", json=LEAST | {"subject": 1}, headers=headers), 422)
    assert (await sender.http.post("/messages", json=LEAST, headers=headers)).status_code == 201


@pytest.mark.parametrize(
    ("key", "status"),
    [
        (b"", 422),
        (b"x" * 255, 201),
        (b"x" * 256, 422),
        ("é".encode() * 255, 201),
        ("é".encode() * 256, 422),
        (b"\xff\x80 \xe4", 201),
    ],
)
async def test_key_has_1_to_200_characters_of_any_kind(sender: Sender, key: bytes, status: int) -> None:
    headers = [(b"idempotency-key", key)]
    assert (await sender.http.post("/messages", json=LEAST, headers=headers)).status_code == status


async def test_key_with_blanks_behind_it_is_the_same_key(hub: Hub, sender: Sender) -> None:
    body = encode(LEAST)
    answers = []
    # httpx does not send such blanks. RFC 9110, 5.5: they are no part of the value.
    for line in (b"one", b"one \t"):
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        writer.write(
            b"POST /api/v1/messages HTTP/1.1\r\nHost: hub.example.com\r\nConnection: close\r\n"
            b"Authorization: Bearer %b\r\nIdempotency-Key: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (sender.token.encode(), line, len(body), body)
        )
        head, _, text = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        assert head.startswith(b"HTTP/1.1 201 ")
        answers.append(text)
    assert answers[1] == answers[0]


async def test_key_is_forgotten_after_a_day(hub: Hub, sender: Sender) -> None:
    headers = {"idempotency-key": "one"}
    first = await sender.http.post("/messages", json=LEAST, headers=headers)
    async with hub.database.write() as tx:
        await tx.fetch("UPDATE idempotency_keys SET created_at = created_at - 86400001 WHERE user_id = $1", sender.id)
    second = await sender.http.post("/messages", json=LEAST, headers=headers)
    assert second.json()["id"] != first.json()["id"]
