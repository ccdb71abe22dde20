"""The contract's numbers, on which clients rely: other tests take them from the code, and would follow any change."""

from __future__ import annotations

import pytest

from hub.api.asked import MOST_BODY_BYTES, MOST_PAGE_ITEMS, PAGE_ITEMS
from hub.api.messages import MOST_RECIPIENTS
from hub.api.opens import EVENTS_LIMIT
from hub.config import Config
from hub.live.connections import MOST_REPLAYED
from hub.server import FRAME_BYTES
from hub.store.idempotency import KEPT_MS
from hub.tracking.rules import VIEWING_MS

DEFAULTS = Config.from_environ({})
NUMBERS = {
    "bytes of a body": (MOST_BODY_BYTES, 256 * 1024),
    "recipients of a message": (MOST_RECIPIENTS, 500),
    "items of a page unless told otherwise": (PAGE_ITEMS, 50),
    "items of a page at the most": (MOST_PAGE_ITEMS, 1000),
    "events of a page unless told otherwise": (EVENTS_LIMIT, 200),
    "milliseconds for which an idempotency key is kept": (KEPT_MS, 24 * 60 * 60 * 1000),
    "milliseconds around a look in which hits are the sender's": (VIEWING_MS, 10_000),
    "seconds in which a hit is a repeat": (DEFAULTS.repeat_seconds, 30),
    "bytes of a frame": (FRAME_BYTES, 64 * 1024),
    "seconds to say connect in": (DEFAULTS.connect_seconds, 10),
    "seconds of silence before a heartbeat": (DEFAULTS.heartbeat_seconds, 20),
    "events that are replayed": (MOST_REPLAYED, 1000),
    "sockets of a user": (DEFAULTS.max_sockets_per_user, 20),
    "the port": (DEFAULTS.port, 8000),
}


@pytest.mark.parametrize(("number", "written"), NUMBERS.values(), ids=NUMBERS)
def test_number_is_the_one_of_the_contract(number: float, written: float) -> None:
    assert number == written
