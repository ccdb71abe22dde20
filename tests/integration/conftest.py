"""The hubs of these tests: one in the test's own loop, on each database; or two processes on the same servers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.api import Hub
from tests.conftest import DATABASES
from tests.duo import Duo, a_duo
from tests.servers import Postgres, Valkey


@pytest.fixture(scope="module", params=DATABASES)
def hub(request: pytest.FixtureRequest) -> Hub:
    """A hub that a module's tests share; all of them run on each kind of database."""
    running: Hub = request.getfixturevalue(f"{request.param}_hub")
    return running


@pytest.fixture(scope="module")
async def duo(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, postgresql_template: str, valkey: Valkey
) -> AsyncIterator[Duo]:
    """Two hubs that a module's tests share."""
    async with a_duo(tmp_path_factory.mktemp("duo"), postgres, postgresql_template, valkey) as duo:
        yield duo
