"""Preparation: a database with the schema this code needs, and the keys that pixels are signed with.

Promise: nothing uses the database before it has its schema. A hub that is started while its database is away serves all
the same if it knows a key: it verifies pixels and spools their hits until the database is back and prepared. For this
the spool's folder holds a copy of the database's key, which only its owner may read. A wrong name, password or schema
ends the start, however late the database says so. A hub that met an outage first does not end: it is answering pixels,
and waits until the fault is mended.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from hub.api.auth import new_secret
from hub.config import Config, ConfigError
from hub.logs import WAITING_SECONDS, Seldom
from hub.store.away import DatabaseAway
from hub.store.database import Database
from hub.store.revision import NEEDED, revision
from hub.store.users import Users
from hub.tracking.token import Keys

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 0.5
"""How long a start waits for the database if it knows a key without it: pixels are being asked for meanwhile."""

RETRY_SECONDS = 1.0
KEY_FILE = "signing-key"


async def prepare(config: Config) -> None:
    """Make sure that the database has the schema this code needs; an embedded one is migrated.

    Raises `DatabaseAway`, or `ConfigError` for a database that somebody has to migrate.
    """
    if await revision(config.database_url) == NEEDED:
        return
    if not config.embedded:
        raise ConfigError("the database that DATABASE_URL names is not current: run `glimpse migrate` first")
    # Only here, because most starts do without: see `store.revision`.
    from hub.store.migrate import migrate

    await migrate(config.database_url)


class Preparation:
    """Opens `database` once it is prepared: in `keys`, or, if it is away then, as soon as it is back."""

    def __init__(self, database: Database, config: Config) -> None:
        self._database = database
        self._config = config
        self._key_file = config.spool_dir / KEY_FILE
        self._later: asyncio.Task[None] | None = None
        self.failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Done, with the reason in one line, if the database's first answer is a fault that waiting does not mend."""

    async def keys(self) -> Keys:
        """The keys for pixels: the configured secret signs, or else the one kept in the database; both verify.

        Raises `ConfigError` if the database has to be migrated first, and `DatabaseAway` if it is away and either no
        key is known or time alone will not mend it. If the database says so only later, `failed` has the reason.
        """
        opening = asyncio.create_task(self._open())
        known = self._known()
        try:
            await asyncio.wait([opening], timeout=PATIENCE_SECONDS if known else None)
            if opening.done() and not (known and _may_come_back(opening.exception())):
                # This raises what ended the opening, if it failed.
                return Keys(*opening.result())
        except asyncio.CancelledError:
            opening.cancel()
            await asyncio.wait([opening])
            raise
        if not opening.done():
            logger.warning("the database is not ready yet: hits go to the spool until it is")
        keys = Keys(*known)
        self._later = asyncio.create_task(self._go_on(opening, keys), name="preparation")
        return keys

    async def stop(self) -> None:
        """Stop waiting for the database."""
        if self._later is not None:
            self._later.cancel()
            await asyncio.wait([self._later])

    async def _go_on(self, opening: asyncio.Task[list[str]], keys: Keys) -> None:
        was_away, warnings = False, Seldom(WAITING_SECONDS)
        while True:
            try:
                keys.replace(*await opening)
            except (DatabaseAway, ConfigError) as error:
                if not was_away and not _may_come_back(error):
                    self.failed.set_result(str(error))
                    return
                if not was_away:
                    logger.error("the database is not there at the start: hits go to the spool until it is")
                    was_away = True
                if warnings.may_say(str(error)):
                    logger.warning("the hub waits for its database: %s", error)
            except Exception:
                logger.exception("the database could not be prepared")
            else:
                logger.info("the database is there and prepared")
                return
            await asyncio.sleep(RETRY_SECONDS)
            opening = asyncio.create_task(self._open())

    async def _open(self) -> list[str]:
        """Prepare and open the database. Returns the secrets: the first signs, all verify."""
        await prepare(self._config)
        await self._database.connect()
        users = Users(self._database)
        kept = await users.secret("pixel", new_secret())
        await asyncio.to_thread(self._remember, kept)
        if not await users.any():
            logger.warning("there is no account yet: make one with `glimpse user add EMAIL --name NAME`")
        return self._secrets(kept)

    def _secrets(self, kept: str) -> list[str]:
        return [secret for secret in (self._config.secret_key, kept) if secret]

    def _known(self) -> list[str]:
        """The secrets that are known without the database."""
        return self._secrets(self._copy())

    def _copy(self) -> str:
        try:
            return self._key_file.read_text().strip()
        except (OSError, UnicodeDecodeError):
            return ""

    def _remember(self, kept: str) -> None:
        if self._copy() == kept:
            return
        try:
            _write_for_owner(self._key_file, kept)
        except OSError as error:
            logger.warning("without a copy of its key the hub cannot start while its database is away: %s", error)


def _may_come_back(error: BaseException | None) -> bool:
    return isinstance(error, DatabaseAway) and not error.lasting


def _write_for_owner(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all, and that only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(0o600, exist_ok=False)
    try:
        with unfinished.open("w") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
