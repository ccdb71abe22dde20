"""Messages over REST: register, find, change, mute, view."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.api import LONG_AGO, MACHINE, Hub, Sender, assert_problem

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
LEAST = {"subject": "Proposal", "recipients": [{"address": "reader@example.com"}]}
SEVERAL = [{"address": "a@example.com"}, {"address": "b@example.com", "name": "B"}]


async def refused(sender: Sender, fields: dict[str, Any], *expected: str) -> None:
    body = assert_problem(await sender.http.post("/messages", json=LEAST | fields), 422)
    assert [error["field"] for error in body["errors"]] == list(expected)


async def test_message_is_answered_with_everything_the_contract_names(sender: Sender) -> None:
    answer = await sender.http.post("/messages", json=LEAST)
    assert answer.status_code == 201
    message = answer.json()
    assert message["sent_at"] == message.pop("created_at")
    assert RFC3339.fullmatch(message.pop("sent_at"))
    [pixel] = message.pop("pixels")
    identity = message.pop("id")
    assert message == {
        "subject": "Proposal",
        "recipients": [
            {
                "address": "reader@example.com",
                "name": None,
                "opens": 0,
                "first_opened_at": None,
                "last_opened_at": None,
            }
        ],
        "template": None,
        "format": "html",
        "provider": None,
        "crm": None,
        "tracked": True,
        "untracked_reason": None,
        "muted": False,
        "opens": 0,
        "hits": 0,
        "first_opened_at": None,
        "last_opened_at": None,
    }
    assert pixel["recipient"] == "reader@example.com"
    assert (await sender.get(f"/messages/{identity}"))["subject"] == "Proposal"


async def test_message_keeps_all_that_it_was_registered_with(sender: Sender) -> None:
    fields = {
        "subject": "Ünïcode 🕊 " + "x" * 900,
        "recipients": [{"address": "ä@exämple.com", "name": "Ä"}, {"address": "b@example.com", "name": None}],
        "template": "welcome",
        "sent_at": "2026-11-23T15:01:02.3456+01:00",
        "provider": {"name": "gmail", "message_id": "m-1", "thread_id": "t-1"},
        "crm": {"system": "salesforce", "record_id": "006", "url": "https://crm.example.com/006"},
    }
    message = await sender.post("/messages", fields)
    again = await sender.get(f"/messages/{message['id']}")
    assert again == message
    assert message["sent_at"] == "2026-11-23T14:01:02.345Z"
    for name in ("subject", "template", "provider", "crm"):
        assert message[name] == fields[name]
    assert [r["address"] for r in message["recipients"]] == ["ä@exämple.com", "b@example.com"]


@pytest.mark.parametrize(
    ("recipients", "pixels", "expected"),
    [
        (SEVERAL[:1], "auto", ["a@example.com"]),
        (SEVERAL, "auto", [None]),
        (SEVERAL[:1], "shared", [None]),
        (SEVERAL, "shared", [None]),
        (SEVERAL, "per_recipient", ["a@example.com", "b@example.com"]),
    ],
)
async def test_pixels_are_shared_or_per_recipient_as_asked(
    sender: Sender, recipients: list[dict[str, str]], pixels: str, expected: list[str | None]
) -> None:
    message = await sender.register(recipients=recipients, pixels=pixels)
    assert [pixel["recipient"] for pixel in message["pixels"]] == expected
    assert len({pixel["url"] for pixel in message["pixels"]}) == len(expected)
    own = expected != [None]
    assert [r["opens"] for r in message["recipients"]] == [0 if own else None] * len(recipients)


async def test_plain_message_is_registered_and_says_why_it_has_no_pixel(sender: Sender) -> None:
    message = await sender.register(format="plain")
    assert (message["tracked"], message["untracked_reason"], message["pixels"]) == (False, "plain_text", [])
    assert message["recipients"][0]["opens"] is None
    assert await sender.get(f"/messages/{message['id']}") == message


class Images(HTMLParser):
    """The attributes of each `<img>`."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "img"
        self.found.append(dict(attrs))


async def test_pixel_is_one_image_tag_with_an_absolute_address_and_no_mail_address(hub: Hub, sender: Sender) -> None:
    [pixel] = (await sender.register("very.private@example.com"))["pixels"]
    [image] = Images(pixel["html"]).found
    assert image["src"] == pixel["url"]
    assert re.fullmatch(re.escape(hub.origin) + r"/o/[A-Za-z0-9_-]{40}\.gif", pixel["url"])
    assert "private" not in pixel["html"]


async def test_pixel_address_begins_as_the_asker_sees_the_hub(sender: Sender) -> None:
    answer = await sender.http.post(
        "/messages", json=LEAST, headers={"host": "hub.example.com", "x-forwarded-proto": "https"}
    )
    assert answer.json()["pixels"][0]["url"].startswith("https://hub.example.com/o/")


async def test_500_recipients_have_a_pixel_each_and_501_are_refused(sender: Sender) -> None:
    recipients = [{"address": f"r{number}@example.com"} for number in range(500)]
    message = await sender.register(recipients=recipients, pixels="per_recipient")
    assert [pixel["recipient"] for pixel in message["pixels"]] == [r["address"] for r in recipients]
    assert [r["address"] for r in message["recipients"]] == [r["address"] for r in recipients]
    await refused(sender, {"recipients": [*recipients, {"address": "one@example.com"}]}, "recipients")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"recipients": []}, ["recipients"]),
        ({"recipients": [{"address": "nobody"}]}, ["recipients[0].address"]),
        ({"recipients": [{"address": "@example.com"}]}, ["recipients[0].address"]),
        ({"recipients": [{"address": "nobody@"}]}, ["recipients[0].address"]),
        ({"recipients": [{"address": ""}]}, ["recipients[0].address"]),
        ({"recipients": [{"address": "a b@example.com"}]}, ["recipients[0].address"]),
        ({"recipients": [{"address": "a@example.com\nb"}]}, ["recipients[0].address"]),
        ({"recipients": [{"address": "a\0@example.com"}]}, ["recipients[0].address"]),
        ({"recipients": [{"address": "x" * 250 + "@example.com"}]}, ["recipients[0].address"]),
        (
            {"recipients": [*SEVERAL, {"address": "x"}, {"address": "y"}]},
            ["recipients[2].address", "recipients[3].address"],
        ),
        ({"recipients": [{"address": "a@example.com", "name": "\0"}]}, ["recipients[0].name"]),
        ({"recipients": [{"address": "a@example.com", "name": "x" * 201}]}, ["recipients[0].name"]),
        ({"recipients": [{"address": "a@example.com", "mail": "x"}]}, ["recipients[0].mail"]),
        ({"recipients": ["a@example.com"]}, ["recipients[0]"]),
        ({"recipients": {"address": "a@example.com"}}, ["recipients"]),
        ({"subject": None}, ["subject"]),
        ({"subject": "x" * 1001}, ["subject"]),
        ({"subject": "\0"}, ["subject"]),
        ({"template": ""}, ["template"]),
        ({"template": 1}, ["template"]),
        ({"format": "rtf"}, ["format"]),
        ({"pixels": "one"}, ["pixels"]),
        ({"sent_at": "yesterday"}, ["sent_at"]),
        ({"sent_at": "2026-11-23"}, ["sent_at"]),
        ({"sent_at": "2026-11-23T14:01:02"}, ["sent_at"]),
        ({"sent_at": "2026-13-23T14:01:02Z"}, ["sent_at"]),
        ({"sent_at": "2026-11-23T14:01:02+99:99"}, ["sent_at"]),
        ({"sent_at": "0001-01-01T00:00:00+14:00"}, ["sent_at"]),
        ({"sent_at": "9999-12-31T23:59:59-14:00"}, ["sent_at"]),
        ({"sent_at": 1795442462345}, ["sent_at"]),
        ({"provider": {"name": "gmail"}}, ["provider.message_id"]),
        ({"provider": {"name": "", "message_id": "x"}}, ["provider.name"]),
        ({"crm": {"system": "s", "record_id": "r", "url": "javascript:alert(1)"}}, ["crm.url"]),
        ({"crm": {"system": "s", "record_id": "r", "url": "http://["}}, ["crm.url"]),
        ({"crm": {"system": "s", "record_id": "r", "url": "ht\ntps://example.com"}}, ["crm.url"]),
        ({"crm": {"system": "s", "record_id": "r", "url": " https://example.com"}}, ["crm.url"]),
        ({"crm": {"system": "s", "record_id": "r", "url": "https://example.com:99999"}}, ["crm.url"]),
        ({"crm": {"system": "s", "record_id": "r", "colour": "x"}}, ["crm.colour"]),
        ({"id": "mine"}, ["id"]),
    ],
)
async def test_message_that_is_wrong_names_the_field(
    sender: Sender, fields: dict[str, Any], expected: list[str]
) -> None:
    answer = await sender.http.post("/messages", json=LEAST | fields)
    body = assert_problem(answer, 422)
    assert [error["field"] for error in body["errors"]] == expected
    assert (await sender.get("/messages"))["items"] == []


async def test_message_that_is_wrong_in_several_fields_names_them_all(sender: Sender) -> None:
    fields = {"subject": "\0", "template": "", "recipients": [{"address": "x"}, {"address": "y"}], "sent_at": "?"}
    await refused(sender, fields, "subject", "template", "recipients[0].address", "recipients[1].address", "sent_at")


# Finding


async def test_list_is_newest_first_and_goes_on_at_the_cursor(sender: Sender) -> None:
    registered = [(await sender.register())["id"] for _ in range(5)]
    found, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = await sender.get("/messages", limit=2, **({"cursor": cursor} if cursor else {}))
        found += [message["id"] for message in page["items"]]
        cursor, pages = page["next"], pages + 1
        if pages == 1:
            await sender.register(subject="came meanwhile")
    assert found == registered[::-1]
    assert pages == 3


async def test_list_that_ends_on_a_full_page_has_no_next(sender: Sender) -> None:
    for _ in range(2):
        await sender.register()
    assert (await sender.get("/messages", limit=2))["next"] is None
    assert await sender.get("/messages", limit=2, q="nothing like it") == {"items": [], "next": None}


async def test_list_shows_the_same_message_as_the_message_itself(sender: Sender) -> None:
    message = await sender.register(recipients=SEVERAL, pixels="per_recipient")
    await sender.hit(message, 1)
    [listed] = (await sender.get("/messages"))["items"]
    assert listed == await sender.get(f"/messages/{message['id']}")
    assert listed["opens"] == 1


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("proposal", ["Proposal for Łódź"]),
        ("PROPOSAL", ["Proposal for Łódź"]),
        ("łódź", ["Proposal for Łódź"]),
        ("STRASSE", ["Straße 100%"]),
        ("100%", ["Straße 100%"]),
        ("%", ["Straße 100%"]),
        ("_", ["under_score"]),
        ("\\", ["back\\slash"]),
        ("jo@home.example", ["under_score"]),
        ("JOSÉ", ["under_score"]),
        ("'; DROP TABLE messages; --", []),
        ("", ["back\\slash", "under_score", "Straße 100%", "Proposal for Łódź"]),
    ],
)
async def test_search_looks_in_subjects_addresses_and_names_literally(
    sender: Sender, query: str, expected: list[str]
) -> None:
    await sender.register(subject="Proposal for Łódź")
    await sender.register(subject="Straße 100%")
    await sender.register(subject="under_score", recipients=[{"address": "Jo@home.example", "name": "José"}])
    await sender.register(subject="back\\slash")
    assert [message["subject"] for message in (await sender.get("/messages", q=query))["items"]] == expected


async def test_filters_work_together(sender: Sender) -> None:
    opened = await sender.register(subject="opened", template="a")
    closed = await sender.register(subject="closed", template="a")
    other = await sender.register(subject="other", template="b")
    await sender.hit(opened)
    await sender.hit(closed, user_agent=MACHINE)

    async def found(**query: str) -> list[str]:
        return [message["id"] for message in (await sender.get("/messages", **query))["items"]]

    assert await found(opened="true") == [opened["id"]]
    assert await found(opened="false") == [other["id"], closed["id"]]
    assert await found(template="a") == [closed["id"], opened["id"]]
    assert await found(template="a", opened="false", q="CLOSE") == [closed["id"]]
    assert await found(template="A") == []


async def test_list_has_only_the_senders_own(sender: Sender, stranger: Sender) -> None:
    mine = await sender.register()
    await stranger.register()
    assert [message["id"] for message in (await sender.get("/messages"))["items"]] == [mine["id"]]


async def test_cursor_of_somebody_else_shows_nothing_of_theirs(sender: Sender, stranger: Sender) -> None:
    theirs = await stranger.register()
    mine = await sender.register()
    page = await sender.get("/messages", cursor=mine["id"])
    assert page == {"items": [], "next": None}
    assert (await stranger.get("/messages", cursor=mine["id"]))["items"][0]["id"] == theirs["id"]


# Changing


async def test_patch_changes_what_it_names_and_nothing_else(sender: Sender) -> None:
    message = await sender.register(template="t", sent_at=None)
    path = f"/messages/{message['id']}"
    provider = {"name": "gmail", "message_id": "m", "thread_id": None}
    crm = {"system": "hubspot", "record_id": "1", "url": None}
    assert await sender.patch(path, sent_at=LONG_AGO) == message | {"sent_at": "2024-05-01T12:00:00.000Z"}
    await sender.patch(path, provider=provider, crm=crm)
    changed = await sender.patch(path, muted=True)
    assert changed == message | {
        "sent_at": "2024-05-01T12:00:00.000Z",
        "provider": provider,
        "crm": crm,
        "muted": True,
    }
    assert await sender.get(path) == changed
    assert (await sender.patch(path, provider=None, crm=None))["provider"] is None


async def test_patch_of_nothing_changes_nothing_and_is_no_event(sender: Sender) -> None:
    message = await sender.register()
    head = await sender.head()
    assert await sender.patch(f"/messages/{message['id']}") == message
    assert await sender.head() == head


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"muted": "yes"}, "muted"),
        ({"muted": None}, "muted"),
        ({"sent_at": "soon"}, "sent_at"),
        ({"sent_at": False}, "sent_at"),
        ({"subject": "Another"}, "subject"),
        ({"provider": {}}, "provider.name"),
        ({"provider": {"name": "x", "message_id": "\0"}}, "provider.message_id"),
        ({"crm": {"system": "s", "record_id": "r", "url": "ftp://example.com"}}, "crm.url"),
    ],
)
async def test_patch_that_is_wrong_names_the_field_and_changes_nothing(
    sender: Sender, body: dict[str, Any], field: str
) -> None:
    message = await sender.register()
    answer = await sender.http.patch(f"/messages/{message['id']}", json={"muted": True} | body)
    assert [error["field"] for error in assert_problem(answer, 422)["errors"]] == [field]
    assert await sender.get(f"/messages/{message['id']}") == message


async def test_draft_is_the_senders_own_until_it_is_sent(sender: Sender) -> None:
    message = await sender.register(sent_at=None)
    assert message["sent_at"] is None
    await sender.hit(message)
    await sender.patch(f"/messages/{message['id']}", sent_at=LONG_AGO)
    await sender.hit(message)
    opens = (await sender.get(f"/messages/{message['id']}/opens", all="true"))["items"]
    assert [(found["verdict"], found["counted"]) for found in opens] == [("human", True), ("self", False)]


async def test_mute_all_silences_the_past_and_the_speaker_gives_one_its_voice_back(sender: Sender) -> None:
    first, second = await sender.register(), await sender.register()
    at = (await sender.post("/messages/mute-all"))["muted_all_at"]
    assert RFC3339.fullmatch(at)
    assert (await sender.get("/me"))["settings"]["muted_all_at"] == at
    later = await sender.register()

    async def muted() -> list[bool]:
        return [(await sender.get(f"/messages/{m['id']}"))["muted"] for m in (first, second, later)]

    assert await muted() == [True, True, False]
    assert not (await sender.patch(f"/messages/{first['id']}", muted=False))["muted"]
    assert await muted() == [False, True, False]
    await sender.post("/messages/mute-all")
    assert await muted() == [True, True, True]


@pytest.mark.parametrize("identity", ["x", "0" * 26, "06d8000000000000000000000z", "%2E.", "%00", "mute-all", "ä" * 26])
async def test_message_id_that_is_unknown_is_a_404(sender: Sender, identity: str) -> None:
    for method, path in (("GET", ""), ("PATCH", ""), ("POST", "/viewing"), ("GET", "/opens")):
        if identity == "mute-all" and not path:
            continue
        body = {"muted": True} if method == "PATCH" else None
        answer = await sender.http.request(method, f"/messages/{identity}{path}", json=body)
        assert_problem(answer, 404)


async def test_viewing_makes_the_hits_around_it_the_senders_own(sender: Sender) -> None:
    message = await sender.register()
    await sender.hit(message)
    assert (await sender.get(f"/messages/{message['id']}"))["opens"] == 1
    assert await sender.post(f"/messages/{message['id']}/viewing") is None
    await sender.hit(message)
    assert (await sender.get(f"/messages/{message['id']}"))["opens"] == 0
    opens = (await sender.get(f"/messages/{message['id']}/opens", all="true"))["items"]
    assert [found["verdict"] for found in opens] == ["self", "self"]


async def test_figures_of_a_recipient_are_given_only_where_the_pixel_is_theirs(sender: Sender) -> None:
    own = await sender.register(recipients=SEVERAL, pixels="per_recipient")
    shared = await sender.register(recipients=SEVERAL)
    await sender.hit(own, 1)
    await sender.hit(own, 1)
    await sender.hit(shared)
    own, shared = [await sender.get(f"/messages/{m['id']}") for m in (own, shared)]
    assert [r["opens"] for r in own["recipients"]] == [0, 2]
    assert own["recipients"][1]["first_opened_at"] == own["first_opened_at"]
    assert own["recipients"][1]["last_opened_at"] == own["last_opened_at"]
    assert [r["opens"] for r in shared["recipients"]] == [None, None]
    assert (own["opens"], own["hits"], shared["opens"]) == (2, 2, 1)
