"""Addresses: one text and one number each, whatever way they were written."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.tracking.address import address_number, address_text, parse_address


@given(st.ip_addresses())
def test_number_of_an_address_gives_its_text_back(address: IPv4Address | IPv6Address) -> None:
    text = address_text(address.version, int(address))
    assert address_number(text) == address_number(str(address)) == (address.version, int(address))


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("203.0.113.9", "203.0.113.9"),
        (' "203.0.113.9:443" ', "203.0.113.9"),
        ("[2001:DB8::1]:443", "2001:db8::1"),
        ("2001:db8:0:0:0:0:0:1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
    ],
)
def test_parse_address_gives_the_shortest_form(text: str, parsed: str) -> None:
    assert parse_address(text) == parsed


@pytest.mark.parametrize(
    "text", ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4/24", "::g", "[::1", "localhost", "1.2.3.4:80:90", "\0"]
)
def test_parse_address_of_something_else_is_none(text: str) -> None:
    assert parse_address(text) is None
