"""Updating the data sets: fetched from their publishers, checked, and put in place whole or not at all.

Promise: a file in use is only ever replaced by one that was fetched to its end, checked, and synced to
disk; whatever goes wrong, the old file stays and one line says what happened. Apple publishes its list
for anybody; DB-IP City Lite is free under CC BY 4.0 (db-ip.com; the attribution is in the README).
"""

from __future__ import annotations

import os
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, date, datetime
from http.client import HTTPException
from ipaddress import ip_address, summarize_address_range
from pathlib import Path
from typing import IO, Any, NamedTuple

from hub.tracking.address import BITS
from hub.tracking.datasets import PLACES, PLACES_FILE, RELAY, RELAY_FILE, BadList, Block, merge_blocks, read_blocks
from hub.tracking.place import BadDatabase, Places

RELAY_URL = "https://mask-api.icloud.com/egress-ip-ranges.csv"
PLACES_URL = "https://download.db-ip.com/free/dbip-city-lite-{year:04}-{month:02}.mmdb.gz"

TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 18
MOST_RELAY_BYTES = 128 << 20
MOST_PLACES_BYTES = 2 << 30
FEWEST_RELAY_BLOCKS = 100
"""Apple lists some 280,000 networks; a handful would be an error page or a cut file."""
KNOWN_ADDRESSES = ("8.8.8.8", "9.9.9.9", "1.1.1.1")
"""A city database that cannot place any of these is not one."""


class UpdateFailed(Exception):
    """A data set could not be updated. The message is one line; the old file, if any, is still in place."""


class NotThere(Exception):
    """The publisher has no such file."""


class Download(NamedTuple):
    """A file on its way: its bytes, and how many there will be if that is known."""

    stream: IO[bytes]
    size: int | None


Fetch = Callable[[str], AbstractContextManager[Download]]
Progress = Callable[[str, int, int | None], None]
"""Told the data set's name, the bytes fetched so far and all of them, if known."""


def quiet(_name: str, _done: int, _size: int | None) -> None:
    """No progress is shown."""


class _Onward(urllib.request.HTTPRedirectHandler):
    """Goes where a server sends it, but never from https to what others on the way can read and change."""

    def redirect_request(self, req: urllib.request.Request, fp: IO[bytes], *rest: Any) -> urllib.request.Request | None:
        """The request to go on with."""
        following = super().redirect_request(req, fp, *rest)
        if following is not None and req.type == "https" != following.type:
            fp.close()
            raise OSError(f"the server sent us on to {following.host} without encryption")
        return following


@contextmanager
def fetch_url(url: str) -> Iterator[Download]:
    """Fetch `url` over HTTP(S). Raises `NotThere` for a 404 and OSError for what else may go wrong."""
    request = urllib.request.Request(url, headers={"User-Agent": "glimpse-hub (data update)"})
    try:
        response = urllib.request.build_opener(_Onward).open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 404:
            raise NotThere(url) from None
        raise OSError(f"the server answered {error.code}") from None
    with closing(response):
        yield Download(response, response.length)


def update(
    data_dir: Path,
    fetch: Fetch = fetch_url,
    progress: Progress = quiet,
    *,
    today: date | None = None,
) -> list[str]:
    """Bring every data set in `data_dir` up to date; returns what went wrong, one line a data set.

    Each is tried, whatever becomes of the others. Blocks until all are done: call it in a thread.
    """
    problems = []
    try:
        update_relay(data_dir, fetch, progress)
    except UpdateFailed as error:
        problems.append(str(error))
    try:
        update_places(data_dir, fetch, progress, today=today)
    except UpdateFailed as error:
        problems.append(str(error))
    return problems


def update_relay(data_dir: Path, fetch: Fetch = fetch_url, progress: Progress = quiet) -> None:
    """Fetch Apple's list of relay networks and put it in place, merged. Raises `UpdateFailed`."""
    try:
        with _explained(RELAY, RELAY_URL), fetch(RELAY_URL) as download:
            raw = b"".join(_chunks(download, RELAY, progress, MOST_RELAY_BYTES))
            _require_whole(len(raw), download)
            blocks = merge_blocks(read_blocks(raw.decode(errors="replace").splitlines()))
            if len(blocks) < FEWEST_RELAY_BLOCKS or {block[0] for block in blocks} != {4, 6}:
                raise BadList(f"only {len(blocks)} networks: this is not the whole list")
            _replace(data_dir / RELAY_FILE, (f"{line}\n".encode() for line in _written(blocks)))
    except NotThere:
        raise UpdateFailed(f"{RELAY}: {RELAY_URL} is not there any more") from None


def update_places(
    data_dir: Path,
    fetch: Fetch = fetch_url,
    progress: Progress = quiet,
    *,
    today: date | None = None,
) -> None:
    """Fetch this month's DB-IP City Lite, or last month's, and put it in place. Raises `UpdateFailed`."""
    month = today or datetime.now(UTC).date()
    last_month = date(month.year - (month.month == 1), (month.month - 2) % 12 + 1, 1)
    urls = [PLACES_URL.format(year=at.year, month=at.month) for at in (month, last_month)]
    for url in urls:
        try:
            with _explained(PLACES, url), fetch(url) as download:
                _replace(data_dir / PLACES_FILE, _unpacked(download, PLACES, progress), check=_check_places)
                return
        except NotThere:
            continue
    raise UpdateFailed(f"{PLACES}: neither {urls[0]} nor {urls[1]} is there; try again later")


@contextmanager
def _explained(name: str, url: str) -> Iterator[None]:
    """Turn what goes wrong in the block into an `UpdateFailed` that says what happened; `NotThere` passes through."""
    try:
        yield
    except urllib.error.URLError as error:
        raise UpdateFailed(f"{name}: {url} could not be reached ({error.reason}); check the connection") from None
    except (BadList, BadDatabase, zlib.error) as error:
        raise UpdateFailed(f"{name}: what {url} sent cannot be used: {_first_line(error)}") from None
    # A ValueError: the server sent us on to an address that cannot be read.
    except (OSError, HTTPException, ValueError) as error:
        raise UpdateFailed(f"{name}: {url}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _chunks(download: Download, name: str, progress: Progress, most: int) -> Iterator[bytes]:
    done = 0
    progress(name, done, download.size)
    while chunk := download.stream.read(CHUNK_BYTES):
        done += len(chunk)
        if done > most:
            raise OSError(f"more than {most >> 20} MB: given up")
        progress(name, done, download.size)
        yield chunk


def _require_whole(done: int, download: Download) -> None:
    if download.size is not None and done != download.size:
        raise OSError(f"cut off after {done} of {download.size} bytes; try again")


def _unpacked(download: Download, name: str, progress: Progress) -> Iterator[bytes]:
    """The bytes of a gzip file, never more than `MOST_PLACES_BYTES` of them."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    packed = unpacked = 0
    for chunk in _chunks(download, name, progress, MOST_PLACES_BYTES):
        packed += len(chunk)
        while chunk:
            data = unpacker.decompress(chunk, CHUNK_BYTES * 16)
            chunk = unpacker.unconsumed_tail
            unpacked += len(data)
            if unpacked > MOST_PLACES_BYTES:
                raise OSError(f"more than {MOST_PLACES_BYTES >> 20} MB unpacked: given up")
            yield data
    _require_whole(packed, download)
    if not unpacker.eof:
        raise OSError("the file ends too early; try again")


def _check_places(path: Path) -> None:
    places = Places(path)
    try:
        if not any(places.find(address).country_code for address in KNOWN_ADDRESSES):
            raise BadDatabase("it knows no country of well-known addresses")
    finally:
        places.close()


def _written(blocks: Iterable[Block]) -> Iterator[str]:
    yield f"# From {RELAY_URL}, merged"
    for version, first, last in blocks:
        ends = (ip_address(number.to_bytes(BITS[version] // 8, "big")) for number in (first, last))
        yield from map(str, summarize_address_range(*ends))


def _replace(path: Path, chunks: Iterable[bytes], check: Callable[[Path], None] | None = None) -> None:
    """Write a file beside `path`, check it, sync it, and only then give it that name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left_over in path.parent.glob(f".{path.name}.*"):
        left_over.unlink(missing_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if check is not None:
            check(Path(temporary))
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
