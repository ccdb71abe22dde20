"""Data sets: whose network an address is in, and where it is.

Promise: looking up costs a few microseconds; the hub does without a file that is missing or, with a warning, one
that cannot be read, and what depends on it says so; a changed file is taken up without a restart, whole or not
at all. Only what an operator has named has to be right: the place database and the folder. `datasets_update`
fetches the files.
"""

from __future__ import annotations

import logging
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from hub.config import DATA_DIR, ConfigError, out_of_reach
from hub.model import Place
from hub.tracking.address import BITS, address_number
from hub.tracking.place import NOWHERE, BadDatabase, Places
from hub.tracking.rules_networks import APPLE_RELAY, APPLE_RELAY_ROUGHLY, OWNERS

logger = logging.getLogger(__name__)

RELAY, PLACES = "apple-relay", "places"
"""The data sets' names in what is printed."""
RELAY_FILE = "egress-ip-ranges.csv"
"""Apple's own name for its list, so that one fetched by hand is found too."""
PLACES_FILE = "dbip-city-lite.mmdb"

Block = tuple[int, int, int]
"""IP version, first address and last address, as numbers."""


class BadList(ValueError):
    """Not a list of networks. The message is one line that says which line is wrong."""


class Status(Struct, frozen=True):
    """What is known of one data set. `at` is when it was made or fetched, in ms; `problem`, why it is not used."""

    name: str
    path: Path
    present: bool
    at: int | None = None
    entries: int = 0
    problem: str | None = None


class NetworkTable:
    """Which owner an address belongs to. Built once, never changed: safe to share and to swap."""

    def __init__(self, owned: Iterable[tuple[str, Iterable[Block]]]) -> None:
        """Take owners and their blocks; where blocks overlap, the smaller one decides."""
        blocks = [(*block, owner) for owner, listed in owned for block in listed]
        self._starts: dict[int, list[int]] = {}
        self._owners: dict[int, list[str | None]] = {}
        for version in (4, 6):
            flat = _flatten([(first, last, owner) for v, first, last, owner in blocks if v == version])
            self._starts[version] = [start for start, _ in flat]
            self._owners[version] = [owner for _, owner in flat]

    def find(self, address: str) -> str | None:
        """Who owns the network that `address` is in; None where that is not known."""
        try:
            version, number = address_number(address)
        except ValueError:
            return None
        index = bisect_right(self._starts[version], number) - 1
        return self._owners[version][index] if index >= 0 else None


def _flatten(blocks: list[tuple[int, int, str]]) -> list[tuple[int, str | None]]:
    """Nested blocks as a list of starts in order, each with the innermost owner from there on, or None for nobody.

    Of the blocks around an address, the one that began last is the innermost.
    """
    line: list[tuple[int, str | None]] = []
    open_blocks: list[tuple[int, str]] = []

    def mark(start: int, owner: str | None) -> None:
        if line and line[-1][0] == start:
            line.pop()
        if not line or line[-1][1] != owner:
            line.append((start, owner))

    def close_before(number: int | None) -> None:
        while open_blocks and (number is None or open_blocks[-1][0] < number):
            ended = open_blocks[-1][0]
            while open_blocks and open_blocks[-1][0] <= ended:
                open_blocks.pop()
            mark(ended + 1, open_blocks[-1][1] if open_blocks else None)

    for first, last, owner in sorted(blocks, key=lambda block: (block[0], -block[1])):
        close_before(first)
        mark(first, owner)
        open_blocks.append((last, owner))
    close_before(None)
    return line


def parse_block(text: str) -> Block:
    """The block behind `1.2.3.0/24` or a single address. Raises ValueError if it is neither."""
    address, _, length_text = text.partition("/")
    version, number = address_number(address)
    length = int(length_text) if length_text else BITS[version]
    if not 0 <= length <= BITS[version]:
        raise ValueError("not a network")
    host_bits = BITS[version] - length
    first = number >> host_bits << host_bits
    return version, first, first + (1 << host_bits) - 1


def read_blocks(lines: Iterable[str]) -> Iterator[Block]:
    """The networks in Apple's list: the first column of each line; `#` begins a remark.

    Raises `BadList` for a line that does not begin with a network.
    """
    for number, line in enumerate(lines, 1):
        text = line.partition(",")[0].strip()
        if text and not text.startswith("#"):
            try:
                yield parse_block(text)
            except ValueError:
                raise BadList(f"line {number} does not begin with a network: {text[:40]!r}") from None


def merge_blocks(blocks: Iterable[Block]) -> list[Block]:
    """The same addresses in as few ranges as possible, in order."""
    merged: list[Block] = []
    for version, first, last in sorted(blocks):
        if merged and merged[-1][0] == version and first <= merged[-1][2] + 1:
            merged[-1] = (version, merged[-1][1], max(merged[-1][2], last))
        else:
            merged.append((version, first, last))
    return merged


class _Loaded(Struct, frozen=True):
    """One consistent set of everything: swapped as a whole."""

    networks: NetworkTable
    relay: list[Block]
    places: Places | None
    statuses: tuple[Status, ...]
    seen: tuple[object, ...]


class Datasets:
    """The data sets in use."""

    def __init__(self, data_dir: Path, geoip_db: Path | None) -> None:
        self._relay_path = data_dir / RELAY_FILE
        self._geoip_db = geoip_db
        self._places_path = geoip_db or data_dir / PLACES_FILE
        self._loaded = self._read(None)

    @classmethod
    def load(cls, data_dir: Path, geoip_db: Path | None) -> Datasets:
        """Read the data sets that are in `data_dir`; places come from `geoip_db` if it is given.

        Raises `ConfigError`, which names the variable, if `geoip_db` is no place database or `data_dir` can
        never hold anything.
        """
        _check_folder(data_dir)
        if geoip_db is not None:
            _check_places(geoip_db)
        return cls(data_dir, geoip_db)

    @property
    def relay_known(self) -> bool:
        """Whether Apple's list of private-relay networks is loaded."""
        return bool(self._loaded.relay)

    def owner(self, address: str) -> str | None:
        """Who owns the network that `address` is in, where that is known to matter."""
        return self._loaded.networks.find(address)

    def place(self, address: str) -> Place:
        """Where `address` is, as far as a place database says."""
        places = self._loaded.places
        return places.find(address) if places is not None else NOWHERE

    def status(self) -> tuple[Status, ...]:
        """For each data set whether it is there, how old it is, and why it is not used."""
        return self._loaded.statuses

    def reload_if_changed(self) -> bool:
        """Take up files that have changed. Reads for up to a second: call it in a thread.

        If a file cannot be read any more, what was loaded from it stays in use. Returns whether anything else is in use
        now.
        """
        before = self._loaded
        if self._seen() == before.seen:
            return False
        self._loaded = self._read(before)
        return self._loaded.relay != before.relay or self._loaded.places is not before.places

    def _seen(self) -> tuple[object, ...]:
        return tuple(_stamp(path) for path in (self._relay_path, self._places_path))

    def _read(self, before: _Loaded | None) -> _Loaded:
        seen = self._seen()
        relay, relay_status = _read_relay(self._relay_path)
        places, places_status = _read_places(self._places_path)
        for status in (relay_status, places_status):
            if status.problem:
                # What an operator has named is not fetched, and has to be there at the next start.
                own = status.path == self._geoip_db
                remedy = "put another in its place" if own else "run glimpse data update, or remove it"
                logger.warning("%s is not used: %s; %s", status.path, status.problem, remedy)
        if before is not None:
            relay = before.relay if relay_status.problem else relay
            places = before.places if places_status.problem else places
        owned: list[tuple[str, Iterable[Block]]] = [
            (owner.name, [parse_block(text) for text in owner.networks.split()])
            for owner in OWNERS
            if not (relay and owner.name == APPLE_RELAY_ROUGHLY)
        ]
        owned.append((APPLE_RELAY, relay))
        return _Loaded(NetworkTable(owned), relay, places, (relay_status, places_status), seen)


def make_folder(data_dir: Path) -> None:
    """Make the folder that data sets are put into. Raises `ConfigError`, which names its variable."""
    _check_folder(data_dir)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_folder(data_dir, error.strerror or str(error)) from None
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise _no_folder(data_dir, "it may not be written")


def _check_folder(folder: Path) -> None:
    """Check that `folder` can hold data sets, now or once it is made. Raises `ConfigError`."""
    if reason := out_of_reach(folder):
        raise _no_folder(folder, reason)
    if folder.is_dir():
        if not os.access(folder, os.R_OK | os.X_OK):
            raise _no_folder(folder, "it may not be read")
        return
    # The root, at the latest, is a folder.
    nearest = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
    if not nearest.is_dir():
        raise _no_folder(folder, f"{str(nearest)[:120]!r} is no folder")
    # Nobody asked for the default folder, and a hub works without data sets.
    if folder != DATA_DIR and not os.access(nearest, os.W_OK | os.X_OK):
        raise _no_folder(folder, f"it is not there, and may not be made in {str(nearest)[:120]!r}")


def _no_folder(folder: Path, reason: str) -> ConfigError:
    return ConfigError(f"HUB_DATA_DIR is {str(folder)[:120]!r}: {reason}; set it to a folder that can be used")


def _check_places(path: Path) -> None:
    try:
        Places(path).close()
    except BadDatabase as error:
        raise ConfigError(
            f"HUB_GEOIP_DB is {str(path)[:120]!r}: {error}; name a GeoIP2-format .mmdb, or leave it out"
        ) from None


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    # With the time of its last change of any kind: one that may be read at last has the same content as before.
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _read_relay(path: Path) -> tuple[list[Block], Status]:
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            blocks = merge_blocks(read_blocks(lines))
        at = path.stat().st_mtime_ns // 1_000_000
    except FileNotFoundError:
        return [], Status(RELAY, path, present=False)
    except (OSError, ValueError) as error:
        return [], Status(RELAY, path, present=True, problem=str(error))
    if not blocks:
        return [], Status(RELAY, path, present=True, at=at, problem="it is empty")
    return blocks, Status(RELAY, path, present=True, at=at, entries=len(blocks))


def _read_places(path: Path) -> tuple[Places | None, Status]:
    if reason := out_of_reach(path):
        return None, Status(PLACES, path, present=True, problem=reason)
    if not path.exists():
        return None, Status(PLACES, path, present=False)
    try:
        places = Places(path)
    except BadDatabase as error:
        return None, Status(PLACES, path, present=True, problem=str(error))
    return places, Status(PLACES, path, present=True, at=places.built_at, entries=places.nodes)
