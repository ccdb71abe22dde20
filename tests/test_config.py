"""The configuration: what is accepted, what it becomes, and that every refusal names its variable."""

from __future__ import annotations

import dataclasses
import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.config import LOG_LEVELS, LOOPBACK, Config, ConfigError

VARIABLES = (
    "DATABASE_URL",
    "REDIS_URL",
    "PORT",
    "WEB_CONCURRENCY",
    "HUB_PUBLIC_URL",
    "HUB_SECRET_KEY",
    "HUB_TRUSTED_PROXIES",
    "HUB_GEOIP_DB",
    "HUB_DATA_DIR",
    "HUB_SPOOL_DIR",
    "HUB_REPEAT_SECONDS",
    "HUB_LOG_LEVEL",
    "HUB_REDIS_INSECURE_TLS",
)

ACCEPTED = [
    ("DATABASE_URL", "sqlite:///hub.db", "database_url", "sqlite:///hub.db"),
    ("DATABASE_URL", "sqlite:////var/lib/hub/hub.db", "database_url", "sqlite:////var/lib/hub/hub.db"),
    ("DATABASE_URL", "postgresql://hub@db.example.com/hub", "database_url", "postgresql://hub@db.example.com/hub"),
    ("DATABASE_URL", "postgres://u:p@db.example.com:5433/n", "database_url", "postgresql://u:p@db.example.com:5433/n"),
    ("DATABASE_URL", "postgresql:///hub?host=/run/pg", "database_url", "postgresql:///hub?host=/run/pg"),
    ("DATABASE_URL", "postgres://db/hub?sslmode=require", "database_url", "postgresql://db/hub?sslmode=require"),
    ("DATABASE_URL", "  sqlite:///a.db  ", "database_url", "sqlite:///a.db"),
    ("REDIS_URL", "redis://127.0.0.1:6379/0", "redis_url", "redis://127.0.0.1:6379/0"),
    ("REDIS_URL", "rediss://:secret@redis.example.com:6380", "redis_url", "rediss://:secret@redis.example.com:6380"),
    (
        "REDIS_URL",
        "redis://[::1]:6379/2?health_check_interval=5",
        "redis_url",
        "redis://[::1]:6379/2?health_check_interval=5",
    ),
    ("HUB_REDIS_INSECURE_TLS", "1", "redis_insecure_tls", True),
    ("HUB_REDIS_INSECURE_TLS", "yes", "redis_insecure_tls", True),
    ("HUB_REDIS_INSECURE_TLS", "0", "redis_insecure_tls", False),
    ("PORT", "0", "port", 0),
    ("PORT", "65535", "port", 65535),
    ("PORT", "08000", "port", 8000),
    ("WEB_CONCURRENCY", "1", "workers", 1),
    ("WEB_CONCURRENCY", "64", "workers", 64),
    ("HUB_PUBLIC_URL", "https://hub.example.com/", "public_url", "https://hub.example.com"),
    ("HUB_PUBLIC_URL", "http://127.0.0.1:8000", "public_url", "http://127.0.0.1:8000"),
    ("HUB_PUBLIC_URL", "https://example.com/glimpse/", "public_url", "https://example.com/glimpse"),
    ("HUB_PUBLIC_URL", "https://bücher.example/a%20b", "public_url", "https://bücher.example/a%20b"),
    ("HUB_SECRET_KEY", "exactly-16-chars", "secret_key", "exactly-16-chars"),
    ("HUB_TRUSTED_PROXIES", "10.0.0.0/8", "trusted_proxies", (ipaddress.ip_network("10.0.0.0/8"),)),
    ("HUB_TRUSTED_PROXIES", "192.0.2.7", "trusted_proxies", (ipaddress.ip_network("192.0.2.7/32"),)),
    ("HUB_TRUSTED_PROXIES", "::ffff:10.1.2.3", "trusted_proxies", (ipaddress.ip_network("10.1.2.3/32"),)),
    ("HUB_TRUSTED_PROXIES", "::ffff:10.0.0.0/104", "trusted_proxies", (ipaddress.ip_network("10.0.0.0/8"),)),
    ("HUB_TRUSTED_PROXIES", "::/0", "trusted_proxies", (ipaddress.ip_network("::/0"),)),
    (
        "HUB_TRUSTED_PROXIES",
        " 10.0.0.0/8 , 2001:db8::/32,",
        "trusted_proxies",
        (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32")),
    ),
    ("HUB_DATA_DIR", "/srv/data", "data_dir", Path("/srv/data")),
    ("HUB_SPOOL_DIR", "/srv/spool", "spool_dir", Path("/srv/spool")),
    ("HUB_REPEAT_SECONDS", "0", "repeat_seconds", 0),
    ("HUB_REPEAT_SECONDS", "3600", "repeat_seconds", 3600),
    *(("HUB_LOG_LEVEL", level.upper(), "log_level", level) for level in LOG_LEVELS),
]

REFUSED = [
    ("DATABASE_URL", "mysql://db.example.com/hub"),
    ("DATABASE_URL", "hub.db"),
    ("DATABASE_URL", "sqlite://hub.db"),
    ("DATABASE_URL", "sqlite:///"),
    ("DATABASE_URL", "sqlite:///:memory:"),
    ("DATABASE_URL", "sqlite:///folder/"),
    ("DATABASE_URL", f"sqlite:////var/lib/{'ü' * 121}"),
    ("DATABASE_URL", "sqlite:///?timeout=5"),
    ("DATABASE_URL", "postgres://"),
    ("DATABASE_URL", "postgres://db.example.com:abc/hub"),
    ("DATABASE_URL", "postgres://db.example.com:99999/hub"),
    ("DATABASE_URL", "postgresql+psycopg2://db.example.com/hub"),
    ("DATABASE_URL", "postgres://[::1/hub"),
    ("DATABASE_URL", "postgres://me:hun#ter2@db.example.com/hub"),
    ("DATABASE_URL", "postgres://me:12#hunter2@db.example.com/hub"),
    ("DATABASE_URL", "postgres://me:12/hunter2@db.example.com/hub"),
    ("DATABASE_URL", "postgres://me:12?hunter2@db.example.com/hub"),
    ("DATABASE_URL", "postgres://me:hun@ter2@db.example.com/hub"),
    ("DATABASE_URL", "postgres://db.example.com/hub name"),
    ("REDIS_URL", "localhost:6379"),
    ("REDIS_URL", "http://localhost"),
    ("REDIS_URL", "redis://"),
    ("REDIS_URL", "redis://:6379"),
    ("REDIS_URL", "redis://redis.example.com:port"),
    ("REDIS_URL", "redis://redis.example.com:99999"),
    ("REDIS_URL", "redis://[::1"),
    ("REDIS_URL", "redis://redis.example.com/first"),
    ("REDIS_URL", "redis://redis.example.com/0 1"),
    ("REDIS_URL", "redis://me:hun#ter2@redis.example.com"),
    ("REDIS_URL", "redis://me:12/hunter2@redis.example.com"),
    ("HUB_REDIS_INSECURE_TLS", "maybe"),
    ("PORT", "http"),
    ("PORT", "-1"),
    ("PORT", "65536"),
    ("PORT", "80.0"),
    ("PORT", "٨٠"),
    ("PORT", "0" * 20 + "70000"),
    ("PORT", "9" * 5000),
    ("WEB_CONCURRENCY", "0"),
    ("WEB_CONCURRENCY", "65"),
    ("WEB_CONCURRENCY", "auto"),
    ("HUB_PUBLIC_URL", "hub.example.com"),
    ("HUB_PUBLIC_URL", "ftp://hub.example.com"),
    ("HUB_PUBLIC_URL", "https://"),
    ("HUB_PUBLIC_URL", "https://hub.example.com/?a=b"),
    ("HUB_PUBLIC_URL", "https://hub.example.com/#top"),
    ("HUB_PUBLIC_URL", "https://hub.example.com/?"),
    ("HUB_PUBLIC_URL", "https://hub.example.com/#"),
    ("HUB_PUBLIC_URL", "https://@hub.example.com"),
    ("HUB_PUBLIC_URL", "https://hub.example.com/%"),
    ("HUB_PUBLIC_URL", "https://hub\u200b.example.com"),
    ("HUB_PUBLIC_URL", "https://hub..example.com"),
    ("HUB_PUBLIC_URL", "https://."),
    ("HUB_PUBLIC_URL", "https://user@hub.example.com"),
    ("HUB_PUBLIC_URL", "https://hub.example.com:port"),
    ("HUB_PUBLIC_URL", "https://hub.example.com/a b"),
    ("HUB_PUBLIC_URL", "https://[::1"),
    ("HUB_PUBLIC_URL", 'https://hub.example.com/"><script>'),
    ("HUB_PUBLIC_URL", "https://hub.example.com/\x07"),
    ("HUB_SECRET_KEY", "15-characters-x"),
    ("HUB_TRUSTED_PROXIES", "*"),
    ("HUB_TRUSTED_PROXIES", "10.0.0.1/8"),
    ("HUB_TRUSTED_PROXIES", "10.0.0.0/8;192.0.2.0/24"),
    ("HUB_TRUSTED_PROXIES", "router.example.com"),
    ("HUB_GEOIP_DB", "/nowhere/city.mmdb"),
    ("HUB_GEOIP_DB", "\0"),
    ("HUB_REPEAT_SECONDS", "3601"),
    ("HUB_REPEAT_SECONDS", "30s"),
    ("HUB_LOG_LEVEL", "loud"),
]


def test_environment_that_is_empty_gives_the_defaults() -> None:
    assert Config.from_environ({}) == Config(spool_dir=Path("hub.db.spool"))


@pytest.mark.parametrize("name", VARIABLES)
def test_variable_that_is_blank_is_as_if_absent(name: str) -> None:
    assert Config.from_environ({name: "  "}) == Config.from_environ({})


@pytest.mark.parametrize(("name", "text", "field", "value"), ACCEPTED)
def test_value_that_is_good_is_taken(name: str, text: str, field: str, value: object) -> None:
    assert getattr(Config.from_environ({name: text}), field) == value


@pytest.mark.parametrize(("name", "text"), REFUSED)
def test_value_that_is_bad_is_refused_in_one_line_that_names_its_variable(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Config.from_environ({name: text})
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 200
    assert "ter2" not in str(refused.value), "no part of a password is shown"


@given(st.sampled_from(VARIABLES), st.text(max_size=60) | st.from_regex(r"[a-z]{1,10}://[\x21-\x7e]{0,20}"))
def test_value_of_any_kind_is_taken_or_refused_in_one_line(name: str, text: str) -> None:
    try:
        config = Config.from_environ({name: text})
    except ConfigError as refused:
        message = str(refused)
        assert name in message
        assert "\n" not in message
    else:
        assert 0 <= config.port <= 65535
        assert 1 <= config.workers <= 64


@pytest.mark.parametrize("secret", ["mysql://hub:hunter2@db/hub", "redis+tls://:hunter2@redis", "hunter2-short"])
@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL", "HUB_SECRET_KEY"])
def test_refusal_repeats_no_password(name: str, secret: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Config.from_environ({name: secret if name != "HUB_SECRET_KEY" else "hunter2"})
    assert "hunter2" not in str(refused.value)


def test_geoip_folder_is_refused_in_words_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"HUB_GEOIP_DB.*folder"):
        Config.from_environ({"HUB_GEOIP_DB": str(tmp_path)})


def test_geoip_file_is_taken_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "city.mmdb").touch()
    assert Config.from_environ({"HUB_GEOIP_DB": str(tmp_path / "city.mmdb")}).geoip_db == tmp_path / "city.mmdb"


@pytest.mark.parametrize(
    ("database", "spool"),
    [
        ("sqlite:////var/lib/hub/hub.db", "/var/lib/hub/hub.db.spool"),
        ("sqlite:///hub.db?timeout=5", "hub.db.spool"),
        ("postgresql://db.example.com/hub", "hub-spool"),
    ],
)
def test_spool_lies_beside_the_database_by_default(database: str, spool: str) -> None:
    assert Config.from_environ({"DATABASE_URL": database}).spool_dir == Path(spool)


def test_database_by_default_is_embedded_and_postgresql_is_not() -> None:
    assert Config.from_environ({}).embedded
    assert not Config.from_environ({"DATABASE_URL": "postgres://db.example.com/hub"}).embedded


def test_trusted_proxies_are_loopback_by_default() -> None:
    assert Config.from_environ({}).trusted_proxies == LOOPBACK


def test_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "8123")
    assert Config.from_environ().port == 8123


def test_variable_of_ours_that_is_misspelt_is_noticed_with_the_one_that_is_meant() -> None:
    environ = {
        "HUB_PUBLC_URL": "x",
        "HUB_DATABASE_URL": "x",
        "HUB_PORT": "1",
        "HUB_XYZ": "",
        "HUBBUB": "x",
        "HUB_LOG_LEVEL": "info",
    }
    noticed = (
        "HUB_DATABASE_URL (perhaps DATABASE_URL)",
        "HUB_PORT (perhaps PORT)",
        "HUB_PUBLC_URL (perhaps HUB_PUBLIC_URL)",
        "HUB_XYZ",
    )
    assert Config.from_environ(environ).unread == noticed
    assert Config.from_environ(dict.fromkeys(VARIABLES, "")).unread == ()


def test_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config.from_environ({}).port = 1  # type: ignore[misc]
