"""The visit: what a request says about who made it.

Promise: the client's address is that of the nearest untrusted party; nobody can choose it by sending a header.
The User-Agent is cut to 512 bytes before anything looks at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from hub.model import Network, Visit
from hub.tracking.address import address_number, parse_address

USER_AGENT_BYTES = 512
MOST_HOPS = 32
"""The walk passes this many trusted hops at the most; a longer chain is a loop or an attack."""

CONTROL_BYTES = bytes([*range(0x20), *range(0x7F, 0xA0)])
PREFETCH_HEADERS = frozenset({b"sec-purpose", b"purpose", b"x-purpose", b"x-moz"})
"""Sec-Purpose: Fetch standard; Purpose: Chrome and Safari before it; X-Purpose: Safari and Facebook's
in-app browser; X-Moz: Firefox (MDN, "Sec-Purpose", read 2026-11)."""
PREFETCH_WORDS = (b"prefetch", b"prerender", b"preview")

TRUST_CACHED = 4096

Headers = Iterable[tuple[bytes, bytes]]


class TrustedProxies:
    """The networks that are believed about whom they speak for. `trust` tells whether an address is in one of them."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._blocks = [
            (network.version, network.max_prefixlen - network.prefixlen, int(network.network_address))
            for network in networks
        ]
        self.trust = lru_cache(maxsize=TRUST_CACHED)(self._trust)

    def _trust(self, address: str) -> bool:
        try:
            version, number = address_number(address)
        except ValueError:
            return False
        return any(version == of and number >> shift == first >> shift for of, shift, first in self._blocks)


NO_PROXIES = TrustedProxies(())


def read_visit(
    scope: Mapping[str, Any],
    *,
    message_id: str,
    position: int,
    at: int,
    trusted_proxies: TrustedProxies,
) -> Visit:
    """What the ASGI http `scope` of a hit on a pixel says; `at` is in milliseconds since the epoch."""
    user_agent = b""
    prefetch = False
    for name, value in scope["headers"]:
        if name == b"user-agent":
            user_agent = user_agent or value
        elif name in PREFETCH_HEADERS:
            value = value.lower()
            prefetch = prefetch or any(word in value for word in PREFETCH_WORDS)
    return Visit(
        message_id=message_id,
        position=position,
        at=at,
        address=client_address(scope, trusted_proxies),
        user_agent=clean_user_agent(user_agent),
        prefetch=prefetch,
    )


def clean_user_agent(raw: bytes) -> str:
    """The first 512 bytes of a User-Agent, without control characters and outer blanks."""
    return raw[:USER_AGENT_BYTES].translate(None, CONTROL_BYTES).strip().decode("latin-1")


def client_address(scope: Mapping[str, Any], trusted_proxies: TrustedProxies) -> str:
    """The address of the client behind the trusted proxies; "" if it cannot be known.

    `X-Forwarded-For` is read from the right, for as long as the hop that added an entry is trusted: the
    first untrusted address is the client's. Junk ends the walk at the last good hop. A peer on a Unix
    socket has no address and counts as trusted.
    """
    return _walk(scope, trusted_proxies)[0]


def forwarded_proto(scope: Mapping[str, Any], trusted_proxies: TrustedProxies) -> str:
    """ "http" or "https": how the client spoke to the outermost trusted proxy, or else to us."""
    own = "https" if scope.get("scheme") in ("https", "wss") else "http"
    hops = _walk(scope, trusted_proxies)[1]
    said = listed(scope["headers"], b"x-forwarded-proto")
    if not hops or not said:
        return own
    # Proxies that append leave one word each; what lies further left is the client's own claim.
    word = said[max(len(said) - hops, 0)].lower()
    return {"https": "https", "wss": "https", "http": "http", "ws": "http"}.get(word, own)


def _walk(scope: Mapping[str, Any], trusted_proxies: TrustedProxies) -> tuple[str, int]:
    """The client's address, and how many trusted hops lie before it."""
    client = scope.get("client")
    address = (parse_address(client[0]) or "") if client else ""
    if client and not trusted_proxies.trust(address):
        return address, 0
    hops = 1
    for entry in reversed(listed(scope["headers"], b"x-forwarded-for")):
        hop = parse_address(entry)
        if hop is None or hops > MOST_HOPS:
            return address, hops
        address = hop
        if not trusted_proxies.trust(hop):
            return address, hops
        hops += 1
    return address, hops


def listed(headers: Headers, name: bytes) -> list[str]:
    """The comma-separated values of a header, over all its lines, from left to right, without empty ones (RFC 9110,
    5.6.1.2).
    """
    values = [value for key, value in headers if key == name]
    return [item for item in map(str.strip, b",".join(values).decode("latin-1").split(",")) if item] if values else []
