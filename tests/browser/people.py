"""The people of the browser tests: a sender with an account, and readers who open mail.

Promise: a sender acts through the REST API as a plugin does, and a reader asks for a real pixel as a mail
program does; only accounts are made directly in the database.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.servers import HubProcess

PASSWORD = "correct horse battery"
LONG_AGO = "2024-05-01T12:00:00Z"
"""When messages were sent, unless a test says otherwise: so long ago that no hit falls into the delivery window."""

THUNDERBIRD = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Thunderbird/128.3.0"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
CURL = "curl/8.5.0"
JSON = {"content-type": "application/json"}
CONNECTIONS = 6
BOSTON, LYON = "203.0.113", "198.51.100"
"""Networks for documentation (RFC 5737) that the tests' place data puts in these cities."""


@dataclass
class Sender:
    """An account on a hub, acting with an API token. `api` is rooted at `/api/v1`."""

    hub: HubProcess
    email: str
    name: str
    token: str
    api: httpx.Client
    hosts: Iterator[int] = field(default_factory=lambda: itertools.cycle(range(1, 255)))
    subjects: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def get(self, path: str, **query: Any) -> Any:
        """The answer to a GET, which has to succeed."""
        return self.api.get(path, params=query).raise_for_status().json()

    def patch(self, path: str, **body: Any) -> Any:
        """The answer to a PATCH, which has to succeed."""
        return self.api.patch(path, json=body).raise_for_status().json()

    def post(self, path: str, **body: Any) -> None:
        """A POST that has to succeed."""
        self.api.post(path, json=body or None).raise_for_status()

    def register(self, *addresses: str, **fields: Any) -> dict[str, Any]:
        """Register a message, sent long ago unless `sent_at` says otherwise."""
        body = {
            "subject": f"Proposal {next(self.subjects)}",
            "recipients": [{"address": address} for address in addresses or ("reader@example.com",)],
            "sent_at": LONG_AGO,
        }
        message: dict[str, Any] = self.api.post("/messages", json=body | fields).raise_for_status().json()
        return message

    def register_many(self, count: int) -> None:
        """Register `count` messages, "Number 0" and so on, over a few connections of their own."""
        address, headers = self.hub.base_url.removeprefix("http://"), {"authorization": f"Bearer {self.token}"}

        def register(numbers: range) -> None:
            with contextlib.closing(http.client.HTTPConnection(address, timeout=20)) as connection:
                for number in numbers:
                    body = {
                        "subject": f"Number {number}",
                        "recipients": [{"address": "reader@example.com"}],
                        "sent_at": LONG_AGO,
                    }
                    connection.request("POST", "/api/v1/messages", json.dumps(body), JSON | headers)
                    answer = connection.getresponse()
                    assert answer.status == 201, answer.read()
                    answer.read()

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(register, [range(first, count, CONNECTIONS) for first in range(CONNECTIONS)]))

    def hit(
        self,
        message: Mapping[str, Any],
        pixel: int = 0,
        *,
        user_agent: str = THUNDERBIRD,
        network: str = BOSTON,
        address: str | None = None,
    ) -> None:
        """Have a pixel asked for by a new client in `network`, or from `address`."""
        client = address or f"{network}.{next(self.hosts)}"
        headers = {"user-agent": user_agent, "x-forwarded-for": client}
        httpx.get(message["pixels"][pixel]["url"], headers=headers, verify=False).raise_for_status()

    def hit_by_gmail(self, message: Mapping[str, Any], pixel: int = 0) -> None:
        """Have a pixel asked for by Gmail's image proxy."""
        self.hit(message, pixel, user_agent=GMAIL, address=f"66.249.84.{next(self.hosts)}")


def assert_just_sent(message: Mapping[str, Any]) -> None:
    """Check that a message was sent within the last seconds. The hub and the tests have the same clock."""
    ago = datetime.now(UTC) - datetime.fromisoformat(message["sent_at"])
    assert timedelta() <= ago < timedelta(seconds=20)


def new_sender(hub: HubProcess, name: str = "A Sender", email: str | None = None) -> Sender:
    """A new account on `hub`, with an API token; without an `email` it gets an unused one."""
    email = email or f"sender-{secrets.token_hex(4)}@example.com"
    hub.add_user(email, name, PASSWORD)
    token = hub.create_token(email, "Mail plugin")
    # Loading the certificate authorities would take as long as all else here.
    api = httpx.Client(
        base_url=f"{hub.base_url}/api/v1", headers={"authorization": f"Bearer {token}"}, timeout=20, verify=False
    )
    return Sender(hub, email, name, token, api)
