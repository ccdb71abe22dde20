"""A small writer of MaxMind DB files, for tests: the format of maxmind.github.io/MaxMind-DB, 2.0."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NamedTuple

MARKER = b"\xab\xcd\xefMaxMind.com"
SEPARATOR = 16
BUILD_EPOCH = 1_790_000_000
UINT16, UINT32, UINT64 = 5, 6, 9


class _Unsigned(NamedTuple):
    """An unsigned number, of the type that the reader insists on."""

    kind: int
    number: int


def write_mmdb(path: Path, records: Mapping[str, Mapping[str, Any]], kind: str = "DBIP-City-Lite") -> Path:
    """Write a database at `path` with a record for each network in CIDR form. Returns `path`."""
    path.write_bytes(mmdb_bytes(records, kind))
    return path


def city(city: str | None, region: str | None, country: str | None, code: str | None) -> dict[str, Any]:
    """A record as in a city database."""
    record: dict[str, Any] = {}
    if city:
        record["city"] = {"names": {"en": city}}
    if region:
        record["subdivisions"] = [{"names": {"en": region}}]
    if country or code:
        record["country"] = {"iso_code": code, "names": {"en": country}}
    return record


def mmdb_bytes(records: Mapping[str, Mapping[str, Any]], kind: str) -> bytes:
    """The database as bytes. Networks must not overlap."""
    nodes: list[list[int | bytes | None]] = [[None, None]]
    for text, record in records.items():
        bits = _bits(text)
        node = 0
        for bit in bits[:-1]:
            following = nodes[node][bit]
            if following is None:
                following = len(nodes)
                nodes[node][bit] = following
                nodes.append([None, None])
            assert isinstance(following, int)
            node = following
        nodes[node][bits[-1]] = _encode(dict(record))
    data = b""
    tree = b""
    for children in nodes:
        for child in children:
            if child is None:
                number = len(nodes)
            elif isinstance(child, int):
                number = child
            else:
                number = len(nodes) + SEPARATOR + len(data)
                data += child
            tree += struct.pack(">I", number)
    metadata = {
        "binary_format_major_version": _Unsigned(UINT16, 2),
        "binary_format_minor_version": _Unsigned(UINT16, 0),
        "build_epoch": _Unsigned(UINT64, BUILD_EPOCH),
        "database_type": kind,
        "description": {"en": "for tests"},
        "ip_version": _Unsigned(UINT16, 6),
        "languages": ["en"],
        "node_count": _Unsigned(UINT32, len(nodes)),
        "record_size": _Unsigned(UINT16, 32),
    }
    return tree + bytes(SEPARATOR) + data + MARKER + _encode(metadata)


def _bits(text: str) -> list[int]:
    """The path to a network in a tree of IPv6: IPv4 lies under ::/96."""
    network = ip_network(text)
    length = network.prefixlen + (96 if network.version == 4 else 0)
    number = int(network.network_address)
    return [number >> (127 - place) & 1 for place in range(length)]


def _encode(value: Any) -> bytes:
    match value:
        case str():
            raw = value.encode()
            return _head(2, len(raw)) + raw
        case dict():
            body = b"".join(_encode(key) + _encode(item) for key, item in value.items() if item is not None)
            return _head(7, sum(item is not None for item in value.values())) + body
        case list():
            return _head(11, len(value)) + b"".join(map(_encode, value))
        case _Unsigned():
            raw = value.number.to_bytes(8, "big").lstrip(b"\0")
            return _head(value.kind, len(raw)) + raw
    raise TypeError(f"cannot be written: {value!r}")


def _head(kind: int, size: int) -> bytes:
    """A control byte: the type in its upper three bits (or, from 8 on, in a byte of its own), then the size."""
    extended = bytes([kind - 7]) if kind > 7 else b""
    upper = 0 if extended else kind << 5
    if size < 29:
        return bytes([upper | size]) + extended
    if size < 285:
        return bytes([upper | 29]) + extended + bytes([size - 29])
    return bytes([upper | 30]) + extended + struct.pack(">H", size - 285)
