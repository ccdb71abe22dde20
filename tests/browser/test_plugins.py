"""`docs/plugins.md`: the plugin that it shows, word for word, does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.browser.conftest import AN_HOUR_MS, CLOCK_OFF, Desks, log_in
from tests.browser.people import Sender, assert_just_sent
from tests.processes import wait_until

DOCS = Path(__file__).parent.parent.parent / "docs" / "plugins.md"

CHROME = """
    const kept = %s;
    const told = (name) => (...given) => postMessage([name, ...given]);
    const listeners = {};
    globalThis.chrome = {
        storage: { local: { get: async () => kept, set: (values) => Object.assign(kept, values) } },
        notifications: { create: told("create"), clear: told("clear") },
        runtime: { onMessage: { addListener: (listener) => (listeners.message = listener) } },
        alarms: { create: told("alarm"), onAlarm: { addListener: (listener) => (listeners.alarm = listener) } },
    };
    onmessage = ({ data }) => listeners.message(data, {}, (answer) => postMessage(["answer", answer]));
"""
"""As much of a browser extension's API as the plugin uses, in a worker."""


def said(page: Page, name: str, count: int = 1) -> list[Any]:
    """What the plugin has done under that name, once it has done so `count` times."""

    def found() -> list[Any]:
        everything: list[list[Any]] = page.evaluate("() => said")
        return [given for kind, *given in everything if kind == name]

    wait_until(lambda: len(found()) >= count, what=f"{count} times {name}")
    return found()


def documented_plugin(desks: Desks, sender: Sender) -> Page:
    """A page with the plugin that is in the documentation, as a worker."""
    found = re.search(r"```js\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    source = found[1].replace("./client.js", f"{sender.hub.base_url}/static/client.js")
    assert len(source.splitlines()) < 40

    # The test makes the worker's script on the spot, which the hub's Content Security Policy rightly forbids.
    page = desks.context(sender.hub, bypass_csp=True).new_page()
    page.goto("/docs")
    page.evaluate(
        """([chrome, source, kept]) => {
            const [imports, ...rest] = source.split("\\n");
            const text = [imports, chrome.replace("%s", JSON.stringify(kept)), ...rest].join("\\n");
            const script = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
            window.said = [];
            window.plugin = new Worker(script, { type: "module" });
            window.plugin.onmessage = ({ data }) => window.said.push(data);
        }""",
        [CLOCK_OFF % AN_HOUR_MS + CHROME, source, {"url": sender.hub.base_url, "token": sender.token}],
    )
    assert said(page, "alarm") == [["awake", {"periodInMinutes": 0.5}]]
    return page


def test_the_plugin_in_the_documentation_works_as_it_stands(desks: Desks, sender: Sender) -> None:
    page = documented_plugin(desks, sender)

    draft = {"subject": "The quote", "recipients": [{"address": "reader@example.com"}], "sent_at": None}
    page.evaluate("(register) => plugin.postMessage({ register })", draft)
    [message] = said(page, "answer")[0]
    assert message["pixels"][0]["html"].startswith("<img ")
    sender.hit(message)
    page.evaluate("(sent) => plugin.postMessage({ sent })", message["id"])
    assert_just_sent(said(page, "answer", 2)[1][0])
    wait_until(lambda: len(sender.get(f"/messages/{message['id']}/opens", all=True)["items"]) == 1)

    sender.hit(message)
    [[open_id, notification]] = said(page, "create")
    assert notification["title"] == "reader@example.com opened your mail"
    assert notification["message"] == "The quote"
    page.evaluate("(viewing) => plugin.postMessage({ viewing })", message["id"])
    assert said(page, "answer", 3)[2] == [True]
    assert said(page, "clear") == [[open_id]]


def test_the_plugin_in_the_documentation_says_what_went_wrong(desks: Desks, sender: Sender) -> None:
    page = documented_plugin(desks, sender)
    page.evaluate("() => plugin.postMessage({ register: { subject: 'To nobody' } })")
    [refused] = said(page, "answer")[0]
    assert "recipients" in refused["error"]
    page.context.route("**/api/v1/messages", lambda route: route.abort())
    page.evaluate("() => plugin.postMessage({ register: { subject: 'The hub is away' } })")
    assert said(page, "answer", 2)[1] == [{"error": "Failed to fetch"}]


CALL = """async ([url, token]) => {
    const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json", "Idempotency-Key": "one" };
    const body = { subject: "From an add-in", recipients: [{ address: "reader@example.com" }] };
    const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
    return [answer.status, (await answer.json()).subject, Date.parse(answer.headers.get("Date")) > 0];
}"""
WITH_THE_COOKIE = """
(url) => fetch(url, { credentials: "include" }).then(({ status }) => status, ({ name }) => name)
"""


def test_page_on_another_site_calls_with_a_token_and_not_with_the_cookie(desks: Desks, sender: Sender) -> None:
    context = desks.context(sender.hub)
    log_in(context, sender)
    page = context.new_page()
    assert page.evaluate("origin") == "null"
    url = f"{sender.hub.base_url}/api/v1/messages"
    assert page.evaluate(CALL, [url, sender.token]) == [201, "From an add-in", True]
    with page.expect_console_message(lambda message: "blocked by CORS policy" in message.text):
        assert page.evaluate(WITH_THE_COOKIE, url) == "TypeError"
    desks.problems.clear()
