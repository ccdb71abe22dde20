"""A real hub, a real Chromium, and dashboards in it.

The tests share a hub, on which each makes its own senders; a test that stops its hub starts one of its own.
A page fails its test by an error in its console, by a request to any other server, and by anything that its
Content Security Policy blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, expect, sync_playwright

from tests.browser.people import BOSTON, LYON, PASSWORD, Sender, new_sender
from tests.mmdb import city, write_mmdb
from tests.processes import wait_until
from tests.servers import HubProcess

DESKTOP = (1280, 860)
PHONE = (390, 844)
PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)
SCREENSHOTS = Path(__file__).parent.parent.parent / "screenshots"

RECORD_POPUPS = """
    window.popups = [];
    window.Notification = class extends EventTarget {
        static permission = "granted";
        static async requestPermission() { return this.permission; }
        constructor(title, options) {
            super();
            Object.assign(this, { title, body: options.body, tag: options.tag, silent: options.silent, closed: false });
            window.popups.push(this);
        }
        close() { this.closed = true; }
    };
"""
"""Pop-ups are recorded instead of shown: a headless browser shows none."""

NO_FIVE_SECONDS = """
    const real = setTimeout;
    setTimeout = (run, after) => real(run, after === 5000 ? 1e9 : after);
"""
"""Timers of five seconds never end. Until one does, a mute-all can be undone and a toast stays, and a slow machine may
need longer."""

CLOCK_OFF = """
    const right = Date;
    const wrong = () => right.now() + %s;
    globalThis.Date = class extends right {
        static now() { return wrong(); }
        constructor(...given) { super(...(given.length ? given : [wrong()])); }
    };
"""
"""The computer's clock is off by a number of milliseconds, to be filled in."""
COUNT_REQUESTS = """
    const ask = fetch;
    globalThis.asking = 0;
    globalThis.fetch = (...what) => {
        asking += 1;
        return ask(...what).finally(() => (asking -= 1));
    };
"""
"""How many requests are under way is in `asking`."""
AN_HOUR_MS = 3_600_000


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """What drives browsers."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def browser(playwright: Playwright, headless_chromium: str) -> Iterator[Browser]:
    """One Chromium for all browser tests."""
    with launched(playwright, headless_chromium) as browser:
        yield browser


@pytest.fixture(scope="package")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small city database for the networks that the readers' addresses are in."""
    records = {
        f"{BOSTON}.0/24": city("Boston", "Massachusetts", "United States", "US"),
        f"{LYON}.0/24": city("Lyon", "Auvergne-Rhône-Alpes", "France", "FR"),
    }
    return write_mmdb(tmp_path_factory.mktemp("places") / "city.mmdb", records)


@pytest.fixture(scope="package")
def shared_hub(tmp_path_factory: pytest.TempPathFactory, places: Path) -> Iterator[HubProcess]:
    """A hub that these tests share."""
    directory = tmp_path_factory.mktemp("browser-hub")
    url = f"sqlite:///{directory / 'hub.db'}"
    with HubProcess(directory, url, {"HUB_GEOIP_DB": str(places)}) as hub:
        yield hub


@pytest.fixture
def new_account() -> Iterator[Callable[[HubProcess], Sender]]:
    """Makes accounts on a hub."""
    with ExitStack() as clients:

        def make(hub: HubProcess) -> Sender:
            account = new_sender(hub)
            clients.callback(account.api.close)
            return account

        yield make


@pytest.fixture
def sender(shared_hub: HubProcess, new_account: Callable[[HubProcess], Sender]) -> Sender:
    """A new account on the shared hub."""
    return new_account(shared_hub)


@pytest.fixture
def stranger(shared_hub: HubProcess, new_account: Callable[[HubProcess], Sender]) -> Sender:
    """Another account on the shared hub."""
    return new_account(shared_hub)


@contextmanager
def launched(playwright: Playwright, program: str) -> Iterator[Browser]:
    """A running browser, for as long as the block."""
    with playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"]) as browser:
        yield browser


class Desks:
    """Opens browsers on dashboards, and watches their pages."""

    def __init__(self, browser: Browser, contexts: ExitStack) -> None:
        self._browser = browser
        self._contexts = contexts
        self.problems: list[str] = []

    def context(self, hub: HubProcess, size: tuple[int, int] = DESKTOP, **options: Any) -> BrowserContext:
        """A new browser profile, in which every page is watched.

        It has no service workers unless `service_workers="allow"` is given, so that the page itself shows the pop-ups.
        """
        options.setdefault("service_workers", "block")
        options.setdefault("timezone_id", "Europe/Berlin")
        width, height = size
        context = self._browser.new_context(
            base_url=hub.base_url,
            viewport={"width": width, "height": height},
            locale="en-GB",
            permissions=["notifications", "clipboard-read", "clipboard-write"],
            **options,
        )
        self._contexts.callback(context.close)
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(RECORD_POPUPS)
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.problems.append(str(error.error)))
        context.on("request", lambda request: self._check_address(request.url, hub))
        return context

    def open(self, sender: Sender, path: str = "/activity", **options: Any) -> Page:
        """A page in a new browser in which `sender` is logged in."""
        context = self.context(sender.hub, **options)
        log_in(context, sender)
        return self.tab(context, path)

    def tab(self, context: BrowserContext, path: str = "/activity") -> Page:
        """Another tab in the same browser, once it is connected and has loaded its content."""
        page = context.new_page()
        page.goto(path)
        live(page)
        expect(page.locator(".skeleton")).to_have_count(0)
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        # Chromium logs every answer from 400 on as an error; the pages themselves show those to the user.
        if message.type == "error" and not message.text.startswith(("Failed to load resource", "WebSocket connection")):
            self.problems.append(message.text)

    def _check_address(self, url: str, hub: HubProcess) -> None:
        if not url.startswith((hub.base_url, "data:", "blob:")):
            self.problems.append(f"asked {url}")


@pytest.fixture
def desks(browser: Browser) -> Iterator[Desks]:
    """Opens dashboards; the browsers are closed after the test, and nothing may have gone wrong in them."""
    with ExitStack() as contexts:
        desks = Desks(browser, contexts)
        yield desks
    assert desks.problems == []


def log_in(context: BrowserContext, sender: Sender) -> None:
    """Log the browser in, without the form."""
    url = f"{sender.hub.base_url}/api/v1/session"
    answer = context.request.post(url, data={"email": sender.email, "password": PASSWORD})
    assert answer.ok, answer.text()


def log_in_by_hand(page: Page, sender: Sender) -> None:
    """Fill in and send the form that is shown."""
    page.get_by_label("Email").fill(sender.email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def live(page: Page) -> None:
    """Wait until the page is connected and has caught up."""
    page.locator(".connection[data-state=live]").wait_for(state="attached")


def answer_no_more(page: Page) -> None:
    """Answer no further request of a page with COUNT_REQUESTS: each answer tells it how far its clock is off."""
    page.route("**/api/v1/**", lambda _: None)
    wait_until(lambda: bool(page.evaluate("() => asking === 0")))


def popups(page: Page, count: int | None = None) -> list[dict[str, Any]]:
    """The pop-ups that the page has shown, including those taken back; with a `count`, once there are as many."""
    if count is not None:
        wait_until(lambda: len(popups(page)) >= count, what=f"{count} pop-ups")
    found: list[dict[str, Any]] = page.evaluate(
        "() => window.popups.map(({ title, body, tag, silent, closed }) => ({ title, body, tag, silent, closed }))"
    )
    return found


def count_told(page: Page, sender: Sender, what: str) -> None:
    """Count in `told` how often another part of this browser tells the tabs of `what`."""
    page.evaluate(
        """([id, what]) => {
            window.told = 0;
            window.line = new BroadcastChannel(`glimpse-${id}`);
            line.onmessage = ({ data }) => (told += data[what] ? 1 : 0);
        }""",
        [sender.get("/me")["id"], what],
    )


def scroll(page: Page, pixels: int) -> None:
    """Turn the wheel, and wait until the page has come to rest."""
    before = page.evaluate("() => scrollY")
    page.mouse.wheel(0, pixels)
    wait_until(lambda: page.evaluate("() => scrollY") != before, what="scrolling has begun")
    page.evaluate("""async () => {
        const frame = () => new Promise(requestAnimationFrame);
        for (let at = -1, still = 0; still < 3; still = scrollY === at ? still + 1 : 0, at = scrollY) await frame();
    }""")
