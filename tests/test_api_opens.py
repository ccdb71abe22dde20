"""Opens and events over REST: what happened, page by page, and the log."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hub.model import Event, now
from hub.store.events import Events
from hub.tracking.rules import RULESET
from tests.api import MACHINE, MAIL_PROGRAM, Sender, assert_problem, running_hub

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"


async def test_open_is_answered_with_everything_the_contract_names(sender: Sender) -> None:
    message = await sender.register(recipients=[{"address": "reader@example.com", "name": "R"}])
    await sender.hit(message)
    [found] = (await sender.get(f"/messages/{message['id']}/opens"))["items"]
    assert RFC3339.fullmatch(found.pop("at"))
    assert len(found.pop("id")) == 26
    [reason] = found.pop("reasons")
    assert " " in reason
    assert found == {
        "message_id": message["id"],
        "recipient": {"address": "reader@example.com", "name": "R"},
        "verdict": "human",
        "confidence": "high",
        "counted": True,
        "repeat": False,
        "place": {"city": None, "region": None, "country": None, "country_code": None, "hidden_by": None},
        "device": {"type": "desktop", "os": "Windows", "client": "Thunderbird"},
        "ruleset": RULESET,
    }


async def test_open_on_a_shared_pixel_names_no_recipient(sender: Sender) -> None:
    message = await sender.register("a@example.com", "b@example.com")
    await sender.hit(message)
    assert (await sender.get("/opens"))["items"][0]["recipient"] is None


async def test_open_behind_a_proxy_says_who_hides_the_place(sender: Sender) -> None:
    message = await sender.register()
    await sender.hit(message, user_agent=GMAIL, x_forwarded_for="66.249.84.11")
    [found] = (await sender.get("/opens"))["items"]
    assert (found["verdict"], found["place"]["hidden_by"], found["device"]["client"]) == ("proxy", "gmail", "Gmail")


async def test_machine_and_repeat_are_recorded_and_not_counted(sender: Sender) -> None:
    message = await sender.register()
    for _ in range(2):
        await sender.hit(message, x_forwarded_for="203.0.113.200")
    await sender.hit(message, user_agent=MACHINE)
    shown = await sender.get(f"/messages/{message['id']}")
    assert (shown["opens"], shown["hits"]) == (1, 3)
    path = f"/messages/{message['id']}/opens"
    assert [o["counted"] for o in (await sender.get(path))["items"]] == [True]
    assert (await sender.get(path, all="false")) == await sender.get(path)
    everything = (await sender.get(path, all="true"))["items"]
    assert [(o["verdict"], o["repeat"], o["counted"]) for o in everything] == [
        ("bot", False, False),
        ("human", True, False),
        ("human", False, True),
    ]


async def test_opens_are_newest_first_and_go_on_at_the_cursor(sender: Sender) -> None:
    messages = [await sender.register() for _ in range(2)]
    for number in range(5):
        await sender.hit(messages[number % 2])
    found, cursor = [], None
    while True:
        page = await sender.get("/opens", limit=2, **({"cursor": cursor} if cursor else {}))
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
        await sender.hit(messages[0])
    assert [o["message_id"] for o in found] == [messages[n % 2]["id"] for n in (4, 3, 2, 1, 0)]
    assert [o["id"] for o in found] == sorted((o["id"] for o in found), reverse=True)
    own = (await sender.get(f"/messages/{messages[1]['id']}/opens"))["items"]
    assert [o["id"] for o in own] == [found[1]["id"], found[3]["id"]]


async def test_opens_are_the_senders_own_only(sender: Sender, stranger: Sender) -> None:
    message = await sender.register()
    await sender.hit(message)
    assert (await stranger.get("/opens", all="true"))["items"] == []
    assert_problem(await stranger.http.get(f"/messages/{message['id']}/opens"), 404)


@pytest.mark.parametrize("query", ["all=1", "all=", "limit=x", "cursor=x", "verdict=human", "opened=true"])
async def test_opens_with_a_wrong_query_are_a_422(sender: Sender, query: str) -> None:
    body = assert_problem(await sender.http.get(f"/opens?{query}"), 422)
    assert [error["field"] for error in body["errors"]] == [query.partition("=")[0]]


async def test_log_tells_everything_in_the_shape_of_the_contract(sender: Sender) -> None:
    crm = {"system": "s", "record_id": "r", "url": None}
    message = await sender.register(subject="Proposal", crm=crm)
    await sender.hit(message)
    await sender.patch(f"/messages/{message['id']}", muted=True)
    await sender.post("/messages/mute-all")
    await sender.patch("/settings", realtime_notifications=False)
    await sender.post("/seen", {"sequence": 2})
    log = await sender.get("/events")
    assert log["sequence"] == 6
    events = log["items"]
    assert [event["sequence"] for event in events] == ["1", "2", "3", "4", "5", "6"]
    assert [event["type"] for event in events] == [
        "message.registered",
        "open.recorded",
        "message.updated",
        "messages.muted",
        "settings.updated",
        "notifications.seen",
    ]
    for event in events:
        assert event["specversion"] == "1.0"
        assert (event["sequencetype"], event["datacontenttype"]) == ("Integer", "application/json")
        assert event["source"].startswith("http://")
        assert RFC3339.fullmatch(event["time"])
    assert len({event["id"] for event in events}) == 6
    assert [event.get("subject") for event in events] == [message["id"]] * 3 + [None] * 3
    registered, opened, updated, muted, settings, seen = (event["data"] for event in events)
    shown = await sender.get(f"/messages/{message['id']}")
    assert registered["message"] == updated["message"] == shown
    [found] = (await sender.get("/opens"))["items"]
    assert opened == {
        # The sender was told of it then, but would not be now that real-time is off.
        "notify": False,
        "withheld": "realtime_off",
        "open": found,
        "message": {
            "id": message["id"],
            "subject": "Proposal",
            "opens": 1,
            "muted": True,
            "recipients": 1,
            "crm": crm,
        },
    }
    assert muted["muted_all_at"] == (await sender.get("/me"))["settings"]["muted_all_at"]
    assert settings["settings"] == (await sender.get("/me"))["settings"]
    assert seen == {"sequence": 2}


async def test_log_goes_on_after_any_sequence(sender: Sender) -> None:
    for _ in range(5):
        await sender.register()

    async def sequences(**query: int) -> list[str]:
        return [event["sequence"] for event in (await sender.get("/events", **query))["items"]]

    assert await sequences() == ["1", "2", "3", "4", "5"]
    assert await sequences(after=3) == ["4", "5"]
    assert await sequences(after=0, limit=2) == ["1", "2"]
    assert await sequences(after=5) == []
    assert await sequences(after=10**15) == []
    assert (await sender.get("/events", after=10**15))["sequence"] == 5


async def test_log_of_a_new_account_is_empty(sender: Sender) -> None:
    assert await sender.get("/events") == {"items": [], "sequence": 0}


@pytest.mark.parametrize("query", ["after=-1", "after=x", "after=", "limit=0", "limit=1001", "since=1"])
async def test_log_with_a_wrong_query_is_a_422(sender: Sender, query: str) -> None:
    assert_problem(await sender.http.get(f"/events?{query}"), 422)


async def test_withheld_says_the_first_reason_that_holds(sender: Sender) -> None:
    message = await sender.register()
    path = f"/messages/{message['id']}"

    async def withheld(user_agent: str = MAIL_PROGRAM[0]) -> str | None:
        await sender.hit(message, user_agent=user_agent)
        last = (await sender.get("/events", after=await sender.head() - 1))["items"][0]["data"]
        assert last["notify"] is (last["withheld"] is None)
        reason: str | None = last["withheld"]
        return reason

    assert await withheld() is None
    await sender.patch(path, muted=True)
    assert await withheld() == "muted"
    await sender.patch("/settings", realtime_notifications=False)
    assert await withheld() == "realtime_off"
    assert await withheld(user_agent=MACHINE) == "not_counted"
    await sender.patch("/settings", realtime_notifications=True)
    await sender.patch(path, muted=False)
    assert await withheld() is None
    await sender.post("/messages/mute-all")
    assert await withheld() == "muted"


async def test_reclassified_event_takes_back_what_was_told(sender: Sender) -> None:
    message = await sender.register()
    await sender.hit(message)
    await sender.post(f"/messages/{message['id']}/viewing")
    told, back = (await sender.get("/events", after=1))["items"]
    assert (told["type"], back["type"]) == ("open.recorded", "open.reclassified")
    assert back["data"]["was"] == "human"
    assert back["data"]["open"]["id"] == told["data"]["open"]["id"]
    assert back["data"]["open"]["verdict"] == "self"
    assert back["data"]["notify"] is False
    assert back["data"]["message"]["opens"] == 0
    assert "was" not in told["data"]


async def test_hit_after_the_configured_repeat_time_is_no_repeat(tmp_path: Path, migrated_sqlite_url: str) -> None:
    async with running_hub(tmp_path, migrated_sqlite_url, repeat_seconds=0) as hub:
        sender = await hub.add_sender()
        message = await sender.register()
        for _ in range(2):
            await sender.hit(message, x_forwarded_for="203.0.113.200")
        assert (await sender.get(f"/messages/{message['id']}"))["opens"] == 2


async def test_same_person_on_two_pixels_is_no_repeat(sender: Sender) -> None:
    message = await sender.register("a@example.com", "b@example.com", pixels="per_recipient")
    for pixel in (0, 1):
        await sender.hit(message, pixel, x_forwarded_for="203.0.113.200")
    await sender.hit(message, x_forwarded_for="203.0.113.200", user_agent=MAIL_PROGRAM[1])
    assert (await sender.get(f"/messages/{message['id']}"))["opens"] == 3


async def test_time_of_an_open_is_when_it_was_asked_for(sender: Sender) -> None:
    message = await sender.register()
    before = now()
    await sender.hit(message)
    after = now()
    async with sender.hub.database.write() as tx:
        row = await tx.fetch_one("SELECT at FROM opens WHERE message_id = $1", message["id"])
    assert row is not None
    assert before <= row["at"] <= after


async def test_events_that_are_muted_while_they_are_read_are_told_as_muted(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sender.hit(await sender.register())
    read = Events.after

    async def read_and_mute(events: Events, user_id: str, sequence: int, limit: int) -> list[Event]:
        found = await read(events, user_id, sequence, limit)
        monkeypatch.undo()
        await sender.post("/messages/mute-all")
        return found

    monkeypatch.setattr(Events, "after", read_and_mute)
    page = await sender.get("/events", after=1)
    assert [event["data"]["notify"] for event in page["items"]] == [False]
    assert page["sequence"] == await sender.head() - 1, "a client that has this page goes on with what came meanwhile"
