"""IP addresses as texts and as numbers.

Promise: an address has one text and one number, whichever way it was written. Every hit asks for some of these, and
`ipaddress` takes five times as long and more.
"""

from __future__ import annotations

import socket

BITS = {4: 32, 6: 128}
"""How long an address of each version is."""


def parse_address(text: str) -> str | None:
    """An address in its shortest form, without port, brackets or zone; None if `text` is not one.

    An IPv4 address that came mapped into IPv6 is given as IPv4.
    """
    text = text.strip().strip('"')
    if text.startswith("["):
        text, closed, _ = text[1:].partition("]")
        if not closed:
            return None
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        if ":" not in text:
            return socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, text))
        raw = socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    except (OSError, ValueError):
        return None
    if raw.startswith(b"\0" * 10 + b"\xff\xff"):
        return socket.inet_ntop(socket.AF_INET, raw[12:])
    return socket.inet_ntop(socket.AF_INET6, raw)


def address_text(version: int, number: int) -> str:
    """The address with this version and these bits; `address_number` is the reverse."""
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    return socket.inet_ntop(family, number.to_bytes(BITS[version] // 8, "big"))


def address_number(address: str) -> tuple[int, int]:
    """The IP version of a parsed address and its bits as a number. Raises ValueError if it is not an address."""
    try:
        if ":" in address:
            return 6, int.from_bytes(socket.inet_pton(socket.AF_INET6, address), "big")
        return 4, int.from_bytes(socket.inet_pton(socket.AF_INET, address), "big")
    except OSError:
        raise ValueError("not an address") from None


def authority(host: str, port: int) -> str:
    """A host and a port as a URL has them: an IPv6 address in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
