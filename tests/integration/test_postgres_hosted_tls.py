"""What hosted servers ask for: PostgreSQL with `sslmode=require`, Redis behind a certificate of its own making.

The servers in the wheels are built without TLS, so a proxy speaks it in their place, as each protocol begins it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hub.store.database import Database, DatabaseAway
from tests.duo import TlsPostgres
from tests.plugins import Plugin, listening
from tests.processes import eventually, wait_until
from tests.servers import HubProcess, Postgres, Valkey
from tests.toxic import ToxicProxy
