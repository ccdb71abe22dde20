"""The demo: a hub on a throw-away database, with a sender and a trickle of real opens.

Promise: the demo shows the product itself. Its opens are HTTP requests for real pixels, with the User-Agents of
well-known mail programs, from addresses reserved for documentation and one of Google's; nothing is drawn by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import websockets
from rich.console import Console
from websockets.exceptions import WebSocketException

from hub.wire import rfc3339

EMAIL = "demo@example.com"
SUBJECTS = (
    ("Your quote for the spring order", ("lena@customer.example",)),
    ("Following up on our call", ("marco@shop.example",)),
    ("Contract, second draft", ("aisha@law.example", "tom@law.example", "secretary@law.example")),
    ("Support: your printer question", ("jo@home.example",)),
    ("Invitation to the product tour", ("kim@agency.example", "lou@agency.example")),
)
SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.4 Safari/605.1.15"
)
READERS = (
    ("66.249.84.11", "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"),
    ("203.0.113.7", SAFARI),
    ("198.51.100.23", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Thunderbird/128.3.0"),
    ("192.0.2.45", "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17126; Pro)"),
    (
        "203.0.113.88",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    ),
    ("198.51.100.99", "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html"),
    ("203.0.113.150", "Mozilla/5.0"),
    ("192.0.2.200", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"),
)
AN_HOUR_AGO = 3600
AT_ONCE = 8
END_SECONDS = 2.0
"""How long to wait for the terminal's thread once the server is gone."""

_ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
"""Asks past any proxy of the network: the hub is on this machine."""


@dataclass(frozen=True, slots=True)
class DemoSender:
    """Registers the demo's messages and opens them, as plugins and recipients would, over HTTP."""

    base_url: str
    token: str

    async def run(self, *, seconds: float = 4.0, sent_at: str) -> None:
        """Register the messages and make some opens at once, then one every `seconds` or so until cancelled."""
        pixels = [pixel for subject, to in SUBJECTS for pixel in await self._register(subject, to, sent_at)]
        for number in itertools.count():
            if number >= AT_ONCE:
                await asyncio.sleep(random.uniform(seconds / 2, seconds * 1.5))
            address, user_agent = random.choice(READERS)
            with contextlib.suppress(OSError):
                await asyncio.to_thread(_get, random.choice(pixels), address, user_agent)

    async def _register(self, subject: str, to: Sequence[str], sent_at: str) -> list[str]:
        body = {"subject": subject, "recipients": [{"address": address} for address in to], "sent_at": sent_at}
        answer = await asyncio.to_thread(self._post, msgspec.json.encode(body))
        return [pixel["url"] for pixel in msgspec.json.decode(answer)["pixels"]]

    def _post(self, body: bytes) -> bytes:
        request = urllib.request.Request(
            f"{self.base_url}/api/v1/messages", body, {"Authorization": f"Bearer {self.token}"}
        )
        with _ask(request, timeout=10) as answer:
            return bytes(answer.read())


async def events(base_url: str, token: str) -> AsyncIterator[dict[str, Any]]:
    """What a plugin sees: the account's `open.recorded` events as they happen, told or not, over a WebSocket."""
    address = f"{base_url.replace('http', 'ws', 1)}/api/v1/ws"
    subprotocols = [websockets.Subprotocol("glimpse.v1")]
    async with websockets.connect(address, subprotocols=subprotocols, proxy=None) as socket:
        await socket.send(msgspec.json.encode({"type": "connect", "token": token, "stream": "history"}).decode())
        async for frame in socket:
            said = msgspec.json.decode(frame)
            if said["type"] == "event" and said["event"]["type"] == "open.recorded":
                yield said["event"]


def in_words(event: dict[str, Any]) -> str:
    """An `open.recorded` event as a line for a terminal."""
    opened, message = event["data"]["open"], event["data"]["message"]
    who = (opened["recipient"] or {}).get("address") or f"Someone, of {message['recipients']},"
    where = opened["place"]["city"] or (
        f"hidden by {opened['place']['hidden_by']}" if opened["place"]["hidden_by"] else ""
    )
    what = " on ".join(filter(None, (opened["device"]["client"], opened["device"]["os"])))
    facts = " · ".join(filter(None, (what, where)))
    if event["data"]["notify"]:
        return f"● {who} opened “{message['subject']}”" + (f" · {facts}" if facts else "")
    reason = "seen just before" if opened["repeat"] else opened["reasons"][0]
    return f"○ not announced, “{message['subject']}”: {opened['verdict']}; {reason}"


def _get(url: str, address: str, user_agent: str) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": user_agent, "X-Forwarded-For": address})
    with _ask(request, timeout=10) as answer:
        answer.read()


class Terminal:
    """What the demo prints where it was started: where to look, and each open as it comes in."""

    def __init__(self, base_url: str, password: str, token: str) -> None:
        self._base_url = base_url
        self._password = password
        self._token = token
        self._console = Console(soft_wrap=True)

    @contextlib.contextmanager
    def shown(self) -> Iterator[Callable[[], None]]:
        """Print during the block, but only once the yielded function is called: till then the port may be another's."""
        thread = threading.Thread(target=self._run, name="demo", daemon=True)
        try:
            yield thread.start
        finally:
            if thread.is_alive():
                # Its socket ends with the server. A thread that prints while Python ends would be fatal.
                thread.join(END_SECONDS)

    def _run(self) -> None:
        self._console.print(f"\n[bold]Open {self._base_url}[/bold] and log in:\n")
        self._console.print(f"    email     {EMAIL}", highlight=False)
        self._console.print(f"    password  [bold]{self._password}[/bold]\n", highlight=False)
        self._console.print("Ctrl-C ends the demo, and nothing is left behind.\n")
        with contextlib.suppress(OSError, WebSocketException):
            asyncio.run(self._show())

    async def _show(self) -> None:
        sender = DemoSender(self._base_url, self._token)
        trickle = asyncio.create_task(sender.run(sent_at=rfc3339(round((time.time() - AN_HOUR_AGO) * 1000))))
        try:
            async for event in events(self._base_url, self._token):
                self._console.print(in_words(event), markup=False, highlight=False)
        finally:
            trickle.cancel()
