"""The visit: nobody can choose their address, and no header costs more than a little."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.tracking.address import parse_address
from hub.tracking.visit import (
    NO_PROXIES,
    USER_AGENT_BYTES,
    TrustedProxies,
    client_address,
    forwarded_proto,
    read_visit,
)

NETWORKS = [ip_network(text) for text in ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "2001:db8:1::/48")]
TRUSTED = TrustedProxies(NETWORKS)


def scope(client: str | None, *headers: tuple[str, str], scheme: str = "http") -> dict[str, Any]:
    return {
        "type": "http",
        "scheme": scheme,
        "client": None if client is None else (client, 50000),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }


def forwarded(client: str | None, *values: str) -> dict[str, Any]:
    return scope(client, *[("x-forwarded-for", value) for value in values])


@pytest.mark.parametrize(
    ("peer", "values", "address"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["6.6.6.6, 198.51.100.1, 10.1.2.3"], "198.51.100.1"),
        ("127.0.0.1", ["6.6.6.6", "198.51.100.1", "10.1.2.3"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
        ("127.0.0.1", ["198.51.100.1, unknown"], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1, garbage, 10.1.2.3"], "10.1.2.3"),
        ("127.0.0.1", ["198.51.100.1,"], "198.51.100.1"),
        ("127.0.0.1", ["198.51.100.1, , 10.0.0.1", ""], "198.51.100.1"),
        ("127.0.0.1", [""], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1:56789"], "198.51.100.1"),
        ("127.0.0.1", ["[2001:db8::7]:443"], "2001:db8::7"),
        ("127.0.0.1", ["[2001:db8::7]"], "2001:db8::7"),
        ("127.0.0.1", ["2001:DB8:0:0::7"], "2001:db8::7"),
        ("127.0.0.1", ["fe80::1%eth0"], "fe80::1"),
        ("127.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["6.6.6.6, ::ffff:10.1.2.3"], "6.6.6.6"),
        ("::ffff:127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("::1", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8:1::5", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8:2::5", ["198.51.100.1"], "2001:db8:2::5"),
        # This has the bits of 10.1.2.3, but is not an IPv4 address.
        ("::10.1.2.3", ["198.51.100.1"], "::10.1.2.3"),
        (None, ["198.51.100.1"], "198.51.100.1"),
        (None, [], ""),
        ("not an address", ["198.51.100.1"], ""),
        ("127.0.0.1", [", ".join(["127.0.0.1"] * 1000)], "127.0.0.1"),
        ("127.0.0.1", ["6.6.6.6, " + ", ".join(["10.0.0.1"] * 100)], "10.0.0.1"),
    ],
)
def test_client_address_by_trusted_hops(peer: str | None, values: list[str], address: str) -> None:
    assert client_address(forwarded(peer, *values), TRUSTED) == address


@given(
    claimed=st.lists(st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=30), max_size=5),
    real=st.ip_addresses().filter(lambda address: not any(address in network for network in NETWORKS)),
)
def test_client_address_cannot_be_chosen_by_the_client(claimed: list[str], real: Any) -> None:
    """Whatever a client claims, the proxy's own entry at the right decides."""
    address = client_address(forwarded("127.0.0.1", *claimed, str(real)), TRUSTED)
    assert address == parse_address(str(real))


@pytest.mark.parametrize(
    ("peer", "scheme", "proto", "for_", "expected"),
    [
        ("127.0.0.1", "http", None, None, "http"),
        ("127.0.0.1", "https", None, None, "https"),
        ("127.0.0.1", "wss", None, None, "https"),
        ("127.0.0.1", "http", "https", "203.0.113.9", "https"),
        ("127.0.0.1", "ws", "https", "203.0.113.9", "https"),
        ("127.0.0.1", "http", "wss", "203.0.113.9", "https"),
        ("203.0.113.9", "http", "https", None, "http"),
        ("127.0.0.1", "http", "gopher", "203.0.113.9", "http"),
        # Two trusted proxies, each of which appended: the outer one spoke https with the client.
        ("127.0.0.1", "http", "https, http", "203.0.113.9, 10.0.0.1", "https"),
        # What lies further left is the client's own claim.
        ("127.0.0.1", "http", "https, http", "203.0.113.9", "http"),
        (None, "http", "HTTPS", "203.0.113.9", "https"),
    ],
)
def test_forwarded_proto(peer: str | None, scheme: str, proto: str | None, for_: str | None, expected: str) -> None:
    headers = [("x-forwarded-proto", proto), ("x-forwarded-for", for_)]
    asked = scope(peer, *[(name, value) for name, value in headers if value is not None], scheme=scheme)
    assert forwarded_proto(asked, TRUSTED) == expected


def visit_with(*headers: tuple[str, str]) -> Any:
    return read_visit(scope("203.0.113.9", *headers), message_id="m", position=2, at=5, trusted_proxies=TRUSTED)


def test_visit_carries_what_it_was_given() -> None:
    visit = visit_with(("user-agent", "curl/8.4.0"))
    assert (visit.message_id, visit.position, visit.at) == ("m", 2, 5)
    assert (visit.address, visit.user_agent, visit.prefetch) == ("203.0.113.9", "curl/8.4.0", False)


def test_visit_without_a_user_agent_has_an_empty_one() -> None:
    assert visit_with().user_agent == ""


@given(st.binary(max_size=8192))
def test_user_agent_is_capped_and_free_of_control_characters(raw: bytes) -> None:
    asked: dict[str, Any] = {"client": ("203.0.113.9", 1), "headers": [(b"user-agent", raw)]}
    visit = read_visit(asked, message_id="m", position=0, at=0, trusted_proxies=NO_PROXIES)
    assert len(visit.user_agent) <= USER_AGENT_BYTES
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in visit.user_agent)


def test_user_agent_of_8_kilobytes_is_cut() -> None:
    assert visit_with(("user-agent", "x" * 8192)).user_agent == "x" * USER_AGENT_BYTES


@pytest.mark.parametrize(
    ("name", "value", "ahead"),
    [
        ("sec-purpose", "prefetch", True),
        ("sec-purpose", "prefetch;prerender", True),
        ("purpose", "Prefetch", True),
        ("x-purpose", "preview", True),
        ("x-moz", "prefetch", True),
        ("sec-purpose", "something-else", False),
        ("purpose", "", False),
        ("x-whatever", "prefetch", False),
        ("accept", "prefetch", False),
    ],
)
def test_prefetch_headers(name: str, value: str, ahead: bool) -> None:
    assert visit_with((name, value)).prefetch is ahead
