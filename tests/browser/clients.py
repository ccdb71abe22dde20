"""`web/client.js` in a page that records what it dispatches, on the real hub or on sockets that the test controls."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from tests.browser.conftest import Desks
from tests.browser.people import Sender
from tests.processes import wait_until

WATCH = """
    window.watch = (client) => {
        const log = { events: [], told: [] };
        client.addEventListener("event", ({ detail: { event, missed } }) => {
            log.events.push([Number(event.sequence), missed]);
        });
        for (const type of ["connected", "caughtup", "reset", "refused", "problem"])
            client.addEventListener(type, ({ detail }) => log.told.push([type, detail]));
        return log;
    };
    window.FakeSocket = class {
        static all = [];
        constructor(url, protocols) {
            Object.assign(this, { url, protocols, sent: [], open: true, readyState: 0 });
            FakeSocket.all.push(this);
        }
        send(text) { this.sent.push(JSON.parse(text)); }
        close(code) { this.open = false; this.code = code; }
        accept(frame) {
            this.readyState = 1;
            this.onopen();
            this.say({ type: "connected", user: {}, seen_sequence: 0, recovered: true, heartbeat: 20, ...frame });
        }
        say(frame) { this.onmessage({ data: JSON.stringify(frame) }); }
        event(sequence) {
            const data = { notify: true, message: {} };
            this.say({ type: "event", event: { type: "open.recorded", sequence: String(sequence), data } });
        }
        end(code) { this.onclose({ code, reason: "" }); }
    };
"""
START = """async ({ url, token, stream, cursor }) => {
    const { GlimpseClient } = await import("/static/client.js");
    const store = {
        get: async () => JSON.parse(localStorage.getItem("cursor") ?? "null"),
        set: async (sequence) => localStorage.setItem("cursor", JSON.stringify(sequence)),
    };
    if (cursor !== undefined) localStorage.setItem("cursor", JSON.stringify(cursor));
    window.client = new GlimpseClient({ url, token, stream, cursor: store });
    window.log = watch(client);
    client.start();
}"""
FAKE = """async (options) => {
    const { GlimpseClient, memoryCursor } = await import("/static/client.js");
    const { cursor, answers, ...rest } = options;
    window.asked = [];
    const fetch = async (url, { signal }) => {
        window.asked.push(url);
        if (answers === "none") await new Promise((_, reject) => signal?.addEventListener("abort", reject));
        const body = answers?.shift();
        return { ok: body !== undefined, status: body === undefined ? 503 : 200, json: async () => body };
    };
    window.client = new GlimpseClient({
        url: "https://hub.example.com/", cursor: memoryCursor(cursor ?? null), WebSocket: FakeSocket, fetch,
        random: () => 0, ...rest,
    });
    window.log = watch(client);
    client.start();
    await Promise.resolve();
}"""


def client_page(desks: Desks, sender: Sender) -> Page:
    """A page of the hub's origin in which nobody is logged in, so that nothing else is connected."""
    context = desks.context(sender.hub)
    context.add_init_script(WATCH)
    page = context.new_page()
    page.goto("/docs")
    return page


def stop_the_clock(page: Page) -> None:
    """From now on time passes only when the test says so."""
    page.clock.install(time=0)
    page.clock.pause_at(1)


def start(page: Page, sender: Sender, **options: Any) -> None:
    page.evaluate(START, {"url": sender.hub.base_url, "token": sender.token, **options})


def state(page: Page, wanted: str) -> None:
    wait_until(lambda: page.evaluate("() => client.state") == wanted, what=f"the client is {wanted}")


def events(page: Page, count: int) -> list[list[Any]]:
    wait_until(lambda: page.evaluate("() => log.events.length") >= count, what=f"{count} events")
    found: list[list[Any]] = page.evaluate("() => log.events")
    return found


def told(page: Page, kind: str) -> list[Any]:
    return [detail for type_, detail in page.evaluate("() => log.told") if type_ == kind]


def sockets(page: Page, count: int) -> None:
    wait_until(lambda: page.evaluate("() => FakeSocket.all.length") == count, what=f"{count} sockets")


def say(page: Page, number: int, **frame: Any) -> None:
    page.evaluate("([number, frame]) => FakeSocket.all[number].say(frame)", [number, frame])


def accept(page: Page, number: int, **frame: Any) -> None:
    page.evaluate("([number, frame]) => FakeSocket.all[number].accept(frame)", [number, frame])
