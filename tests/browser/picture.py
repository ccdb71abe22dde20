"""The README's picture: `python -m tests.browser.picture FILE`.

Promise: it shows the dashboard of a real hub. The messages and their opens come in over HTTP; only the times of
the opens are then moved back, so that the picture shows some hours and not one second.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.people import BOSTON, CURL, IPHONE, LYON, PASSWORD, THUNDERBIRD, Sender, new_sender
from tests.mmdb import city, write_mmdb
from tests.servers import HubProcess

WIDTH, HEIGHT = 1280, 800
MOST_BYTES = 300_000
MINUTE = 60_000
APPLE_MAIL = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/17.4 Safari/605.1.15"
)
UTRECHT = "192.0.2"
MAIL = (
    ("Your quote for the spring order", ("purchasing@customer.example",)),
    ("Following up on our call", ("office@shop.example",)),
    ("Contract, second draft", ("legal@firm.example", "partners@firm.example", "assistant@firm.example")),
    ("Invitation to the product tour", ("events@agency.example",)),
    ("Maintenance agreement for next year", ("facilities@campus.example",)),
)
OPENS: tuple[tuple[int, int, str, str], ...] = (
    (4, 190, THUNDERBIRD, UTRECHT),
    (2, 140, IPHONE, LYON),
    (3, 96, "", ""),
    (0, 71, APPLE_MAIL, BOSTON),
    (2, 52, "", ""),
    (1, 47, CURL, BOSTON),
    (1, 33, THUNDERBIRD, LYON),
    (0, 18, IPHONE, BOSTON),
    (2, 9, APPLE_MAIL, LYON),
    (4, 3, "", ""),
)
"""Of each open: which mail, how many minutes ago, which program, which network. Both are empty for Gmail's proxy."""


def furnish(sender: Sender) -> None:
    """Send the mail and have it opened."""
    messages = [sender.register(*to, subject=subject) for subject, to in MAIL]
    for mail, _, user_agent, network in OPENS:
        if user_agent:
            sender.hit(messages[mail], user_agent=user_agent, network=network)
        else:
            sender.hit_by_gmail(messages[mail])
    sender.patch(f"/messages/{messages[4]['id']}", muted=True)
    sender.post("/seen", sequence=sender.get("/me")["sequence"])


def spread(database: Path) -> None:
    """Move the opens back to the times in `OPENS`. The hub must not be running."""
    now = int(time.time() * 1000)
    with sqlite3.connect(database) as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM opens ORDER BY id")]
        for open_id, (_, minutes, _, _) in zip(ids, OPENS, strict=True):
            connection.execute("UPDATE opens SET at = ? WHERE id = ?", (now - minutes * MINUTE, open_id))
    connection.close()


def take(hub: HubProcess, sender: Sender, file: Path) -> None:
    """Log in, wait for the feed, have one more mail opened, and take the picture."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, locale="en-GB", color_scheme="light", base_url=hub.base_url
        )
        page.goto("/")
        page.get_by_label("Email").fill(sender.email)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("button", name="Not now").click()
        opens = page.locator(".open")
        opens.first.wait_for()
        latest = sender.get("/messages", q="Contract")["items"][0]
        sender.hit(latest, user_agent=IPHONE, network=BOSTON)
        page.locator(".open.is-new").wait_for()
        page.get_by_role("status").get_by_text("Live").wait_for()
        page.screenshot(path=file, animations="disabled")
        browser.close()


def main(file: Path) -> None:
    """Make the picture at `file`. Raises AssertionError if it is too large for a README."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        places = {
            f"{BOSTON}.0/24": city("Boston", "Massachusetts", "United States", "US"),
            f"{LYON}.0/24": city("Lyon", "Auvergne-Rhône-Alpes", "France", "FR"),
            f"{UTRECHT}.0/24": city("Utrecht", "Utrecht", "Netherlands", "NL"),
        }
        environ = {"HUB_GEOIP_DB": str(write_mmdb(directory / "city.mmdb", places))}
        hub = HubProcess(directory, f"sqlite:///{directory / 'hub.db'}", environ)
        with hub:
            sender = new_sender(hub, "Sales desk", "sales@example.com")
            furnish(sender)
            hub.terminate()
            spread(directory / "hub.db")
            hub.start()
            take(hub, sender, file)
            sender.api.close()
    size = file.stat().st_size
    assert size < MOST_BYTES, f"{file} has {size} bytes, more than {MOST_BYTES}"
    print(f"{file}: {size} bytes")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
