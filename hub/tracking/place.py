"""Places: a city, region and country for an address, from a GeoIP2-format database.

Promise: `find` never raises and never says more than city, region and country. Works with DB-IP City
Lite, GeoLite2 and GeoIP2, City or Country.

The file is read through a mapping, so it has to be replaced by another, not written anew: if it is cut short while it
is open, the system ends the process (SIGBUS). In memory it would take some 100 MB in each process, and a look fifteen
times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeAlias

from geoip2.database import Reader
from geoip2.errors import AddressNotFoundError
from maxminddb import MODE_AUTO, InvalidDatabaseError

from hub.model import Network, Place
from hub.tracking.address import BITS, address_number, address_text

CACHED_BLOCKS = 16_384
CACHED_ADDRESSES = 4096
BLOCK_BITS = {4: 24, 6: 48}
"""Places are remembered for blocks of this size: hardly any network is smaller, and reading one costs some 10 us."""

NAME_CHARACTERS = 80
NOWHERE = Place()

LookUp: TypeAlias = Callable[[str], Any]
"""Gives the record of an address, as `geoip2` reads it."""


class BadDatabase(ValueError):
    """Not a place database that can be read. The message is one line about "it", the file."""


class Places:
    """An open place database. `built_at` is when it was made, in ms; `nodes` is how large its tree is."""

    def __init__(self, path: Path) -> None:
        """Open the `.mmdb` at `path`. Raises `BadDatabase` if it cannot serve."""
        try:
            # The compiled reader says of a file that it may not open that it is no database.
            path.open("rb").close()
            self._reader = Reader(path, mode=MODE_AUTO)
        except OSError as error:
            raise BadDatabase(f"it cannot be read ({error.strerror or error})") from None
        except (InvalidDatabaseError, ValueError):
            raise BadDatabase("it is not a database in the .mmdb format") from None
        metadata = self._reader.metadata()
        kind = metadata.database_type
        self.built_at = metadata.build_epoch * 1000
        self.nodes = metadata.node_count
        look_up: LookUp
        if "City" in kind:
            look_up = self._reader.city
        elif "Enterprise" in kind:
            look_up = self._reader.enterprise
        elif "Country" in kind:
            look_up = self._reader.country
        else:
            self._reader.close()
            raise BadDatabase(f"it holds {kind[:60]!r}: a City or Country database is needed")
        # Not of methods: this object would refer to itself, and one that is there at the server's start is never
        # collected (`gc.freeze`). Its file would stay on the disk, unseen, after another has replaced it.
        self._of_block = lru_cache(maxsize=CACHED_BLOCKS)(partial(_find_block, look_up))
        self._of_address = lru_cache(maxsize=CACHED_ADDRESSES)(partial(_find, look_up))

    def find(self, address: str) -> Place:
        """Where `address` is; an empty `Place` for a private, unknown or malformed one."""
        try:
            version, number = address_number(address)
        except ValueError:
            return NOWHERE
        place = self._of_block(version, number >> BITS[version] - BLOCK_BITS[version])
        return place if place is not None else self._of_address(address)[0]

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()


def _find_block(look_up: LookUp, version: int, block: int) -> Place | None:
    """Where a whole block is; None if the database divides it, or does not say."""
    place, network = _find(look_up, address_text(version, block << BITS[version] - BLOCK_BITS[version]))
    return place if network is not None and network.prefixlen <= BLOCK_BITS[version] else None


def _find(look_up: LookUp, address: str) -> tuple[Place, Network | None]:
    """Where an address is, and the network around it for which the same is true, if that is known."""
    try:
        return _read(look_up, address)
    except AddressNotFoundError as error:
        return NOWHERE, error.network
    except Exception:
        # A record that is damaged, or not what it should be, makes the libraries raise nearly anything.
        return NOWHERE, None


def _read(look_up: LookUp, address: str) -> tuple[Place, Network | None]:
    found = look_up(address)
    region = found.subdivisions.most_specific.name if hasattr(found, "subdivisions") else None
    city = found.city.name if hasattr(found, "city") else None
    place = Place(
        city=_name(city),
        region=_name(region),
        country=_name(found.country.name),
        country_code=_name(found.country.iso_code),
    )
    return place, found.traits.network


def _name(value: object) -> str | None:
    # PostgreSQL takes no NUL, which a damaged record may have in a name: the hit could never be recorded.
    return value[:NAME_CHARACTERS] if isinstance(value, str) and value and "\0" not in value else None
