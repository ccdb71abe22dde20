"""Data sets and folders that an operator named: one that cannot be used is refused by the name of its variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.config import DATA_DIR, ConfigError
from hub.tracking.datasets import Datasets, make_folder
from tests.mmdb import city, write_mmdb

LONDON = city("London", "England", "United Kingdom", "GB")


@pytest.mark.parametrize("content", [b"", b"places, in words", b"\xff\xfe\0\0"])
def test_users_own_city_database_that_cannot_be_used_is_refused_by_its_variable(tmp_path: Path, content: bytes) -> None:
    own = tmp_path / "own.mmdb"
    own.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^HUB_GEOIP_DB .*own\.mmdb.* \.mmdb"):
        Datasets.load(tmp_path, own)
    write_mmdb(own, {"81.2.69.0/24": LONDON}, "GeoLite2-ASN")
    with pytest.raises(ConfigError, match=r"^HUB_GEOIP_DB .*City"):
        Datasets.load(tmp_path, own)


def test_users_own_city_database_that_breaks_later_leaves_what_was_loaded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = write_mmdb(tmp_path / "own.mmdb", {"81.2.69.0/24": LONDON}, "GeoIP2-City")
    data = Datasets.load(tmp_path, own)
    own.unlink()
    own.write_bytes(b"broken")
    assert data.reload_if_changed() is False
    assert data.place("81.2.69.160").city == "London"
    # Not to remove it: a hub whose HUB_GEOIP_DB is not there does not start.
    assert caplog.messages == [f"{own} is not used: it is not a database in the .mmdb format; put another in its place"]


@pytest.mark.parametrize("folder", ["file", "file/data", "dangling"])
def test_data_folder_that_cannot_be_one_is_refused_by_its_variable(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    for use in (lambda path: Datasets.load(path, None), make_folder):
        with pytest.raises(ConfigError, match=rf"^HUB_DATA_DIR .*{folder}"):
            use(tmp_path / folder)


def test_data_folder_that_may_not_be_used_is_refused_unless_it_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hub.tracking.datasets.os.access", lambda _path, _mode: False)
    for folder in (tmp_path, tmp_path / "data"):
        with pytest.raises(ConfigError, match=r"^HUB_DATA_DIR "):
            Datasets.load(folder, None)
        with pytest.raises(ConfigError, match=r"^HUB_DATA_DIR "):
            make_folder(folder)
    assert Datasets.load(DATA_DIR, None).relay_known is False


def test_data_folder_is_made_for_writing_and_not_for_reading(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    Datasets.load(folder, None)
    assert not folder.exists()
    make_folder(folder)
    make_folder(folder)
    assert folder.is_dir()
