"""A client that keeps a ledger of every event it was sent, over however many connections.

Promise: it resumes as `docs/protocol.md` says: over the socket with `after`, and, where that is too much to be
replayed, over REST first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from hub.api.auth import TOKEN_PREFIX, new_secret, secret_hash
from hub.model import User
from tests.factories import T0, Store
from tests.plugins import Plugin
from tests.processes import PATIENCE_SECONDS, eventually
from tests.servers import HubProcess

MOST_EVENTS = 1000


@dataclass
class Follower(Plugin):
    """A plugin of `user`'s that misses nothing. Its ledger begins after the sequence `start`."""

    user: User | None = None
    start: int = 0
    opens: list[str] = field(default_factory=list)

    def hear(self, event: dict[str, Any]) -> None:
        """Enter an event. Only its sequence and its open's id are kept: a long ledger has many events."""
        self.last = int(event["sequence"])
        self.heard.append(self.last)
        if event["type"] == "open.recorded":
            self.opens.append(event["data"]["open"]["id"])

    async def read_log(self, head: int) -> None:
        """Read up to `head` over REST."""
        base_url = self.urls[0].replace("ws:", "http:").removesuffix("/ws")
        headers = {"authorization": f"Bearer {self.token}"}
        async with httpx.AsyncClient(
            base_url=base_url, headers=headers, timeout=PATIENCE_SECONDS, verify=False
        ) as client:
            while (last := self.last or 0) < head:
                try:
                    answer = await client.get("/events", params={"after": last, "limit": MOST_EVENTS})
                except httpx.TransportError as error:
                    raise ConnectionError(str(error)) from error
                if answer.status_code != 200:
                    raise ConnectionError(answer.text)
                for event in answer.json()["items"]:
                    if int(event["sequence"]) <= head:
                        self.hear(event)

    async def check(self, store: Store) -> None:
        """Wait until the whole log was heard, and compare. Raises AssertionError if they differ."""
        assert self.user is not None
        head = (await store.user(self.user.id)).sequence
        await eventually(lambda: (self.last or 0) >= head, what=f"the follower is at {head}")
        assert self.heard == list(range(self.start + 1, head + 1)), "an event did not come, or came twice"
        rows = await store.database.fetch(
            "SELECT open_id FROM events WHERE user_id = $1 AND sequence > $2 AND type = 'open.recorded'"
            " ORDER BY sequence",
            self.user.id,
            self.start,
        )
        assert self.opens == [row["open_id"] for row in rows]


async def a_follower(store: Store, user: User, hubs: Sequence[HubProcess]) -> Follower:
    """A follower of `user`'s log, from now on, at any of `hubs`."""
    token = new_secret(TOKEN_PREFIX)
    await store.credentials.add_token(user.id, "follower", secret_hash(token), T0)
    start = (await store.user(user.id)).sequence
    return Follower(token, [hub.ws_url for hub in hubs], start, user=user, start=start)
