"""Places: city, region, country, and never an error."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.model import Place
from hub.tracking.place import NOWHERE, BadDatabase, Places
from tests.mmdb import BUILD_EPOCH, city, mmdb_bytes, write_mmdb

RECORDS = {
    "81.2.69.0/24": city("London", "England", "United Kingdom", "GB"),
    "8.8.8.0/24": city(None, None, "United States", "US"),
    "2a02:cf40::/29": city("Oslo", None, "Norway", "NO"),
    "192.0.2.0/24": city("A" * 400, "B" * 400, None, None),
}
LONDON = Place("London", "England", "United Kingdom", "GB")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    return Places(write_mmdb(tmp_path_factory.mktemp("places") / "city.mmdb", RECORDS))


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("81.2.69.160", LONDON),
        ("8.8.8.8", Place(country="United States", country_code="US")),
        ("2a02:cf40::1", Place("Oslo", None, "Norway", "NO")),
        ("10.0.0.1", NOWHERE),
        ("127.0.0.1", NOWHERE),
        ("::1", NOWHERE),
        ("203.0.113.9", NOWHERE),
        ("", NOWHERE),
        ("garbage", NOWHERE),
        ("999.1.1.1", NOWHERE),
        ("fe80::1%eth0", NOWHERE),
    ],
)
def test_place_of_an_address(places: Places, address: str, place: Place) -> None:
    assert places.find(address) == place
    assert places.find(address) == place


@given(st.text(max_size=60) | st.ip_addresses().map(str) | st.ip_addresses(network="192.0.2.0/24").map(str))
def test_place_of_any_text_is_nowhere_or_somewhere(places: Places, address: str) -> None:
    assert isinstance(places.find(address), Place)


def test_place_names_are_short(places: Places) -> None:
    found = places.find("192.0.2.1")
    assert found.city is not None
    assert len(found.city) == 80
    assert found.country is None


def test_places_tell_their_age(places: Places) -> None:
    assert places.built_at == BUILD_EPOCH * 1000


def test_places_by_country_only(tmp_path: Path) -> None:
    path = write_mmdb(
        tmp_path / "c.mmdb", {"81.2.69.0/24": city(None, None, "United Kingdom", "GB")}, "GeoLite2-Country"
    )
    assert Places(path).find("81.2.69.1") == Place(country="United Kingdom", country_code="GB")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a database in the .mmdb format"),
        (b"<html>404</html>", "not a database in the .mmdb format"),
        (mmdb_bytes(RECORDS, "DBIP-City-Lite")[:-40], "not a database in the .mmdb format"),
        (mmdb_bytes(RECORDS, "GeoLite2-ASN"), "a City or Country database is needed"),
    ],
)
def test_places_from_a_bad_file_are_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.mmdb"
    path.write_bytes(content)
    with pytest.raises(BadDatabase, match=message) as error:
        Places(path)
    assert "\n" not in str(error.value)


def test_places_from_no_file_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadDatabase, match="cannot be read"):
        Places(tmp_path / "none.mmdb")


def test_places_from_what_cannot_be_opened_say_why(tmp_path: Path) -> None:
    # A folder, for root may open any file.
    with pytest.raises(BadDatabase, match=r"it cannot be read \(Is a directory\)"):
        Places(tmp_path)


@pytest.mark.parametrize(
    ("whole", "broken"),
    [
        (b"\x46London", b"\xff\xff\xff\xff\xff\xff\xff"),
        # A key that is no text, and a number where there should be names.
        (b"\x45names\xe1\x42en\x46London", b"\x05names\xe1\x42en\x46London"),
        (b"\x45names\xe1\x42en\x46London", b"\x45names\xa1\x00\x42en\x45Londo"),
        # A text where there should be names by their languages.
        (b"\xe1\x42en\x46London", b"\x49en London"),
    ],
)
def test_places_with_a_broken_record_are_nowhere(tmp_path: Path, whole: bytes, broken: bytes) -> None:
    path = tmp_path / "broken.mmdb"
    path.write_bytes(mmdb_bytes(RECORDS, "DBIP-City-Lite").replace(whole, broken, 1))
    assert Places(path).find("81.2.69.1") == NOWHERE


def test_places_leave_out_a_name_that_no_database_takes(tmp_path: Path) -> None:
    path = write_mmdb(tmp_path / "nul.mmdb", {"81.2.69.0/24": city("Lon\0don", "England", "United Kingdom", "GB")})
    assert Places(path).find("81.2.69.1") == replace(LONDON, city=None)


def test_places_that_are_replaced_are_let_go_of_without_the_garbage_collector(tmp_path: Path) -> None:
    found = Places(write_mmdb(tmp_path / "city.mmdb", RECORDS))
    assert found.find("81.2.69.1") == LONDON
    there = weakref.ref(found)
    gc.disable()
    try:
        del found
        assert there() is None
    finally:
        gc.enable()
