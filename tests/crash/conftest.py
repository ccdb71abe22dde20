"""What the tests of crashes share: hubs that can be made to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import FaultyHub
from tests.ledger import SECRET


@pytest.fixture
def faulty_hub(tmp_path: Path) -> Iterator[Callable[[str], FaultyHub]]:
    """Makes hubs on the database at a URL, not started yet, and ends them after the test."""
    hubs: list[FaultyHub] = []

    def make(url: str) -> FaultyHub:
        hub = FaultyHub(tmp_path, url, {"HUB_SECRET_KEY": SECRET})
        hubs.append(hub)
        return hub

    yield make
    for hub in hubs:
        hub.kill()
