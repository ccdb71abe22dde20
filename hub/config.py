"""The configuration: the environment in, one frozen `Config` out.

Promise: this is the only module that reads the environment, and a value it cannot use stops the
start with one line that names the variable and says what it should be.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hub.model import Network

LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
SECRET_MIN_CHARACTERS = 16
WHOLE_MOST_DIGITS = 12
MAPPED_BITS = 96
"""The bits before the IPv4 address in one that is written as IPv6 (RFC 4291, 2.5.5.2)."""
FILE_NAME_BYTES = 240
"""The longest name in the path of a database: file systems take 255, and SQLite and the spool append to the file's."""

UNUSABLE_IN_A_LINK = re.compile(r"[\s\"'<>\\`{}|^?#@]|%(?![0-9A-Fa-f]{2})")
"""What the address that pixels begin with must not contain (RFC 3986): it would end the path, the HTML attribute that
the address is put in, or the line."""
DATA_DIR = Path("hub-data")
SPOOL_DIR = Path("hub-spool")
"""The spool's folder if the database is on a server; `from_environ` puts the spool beside an SQLite file."""


class ConfigError(ValueError):
    """A setting that cannot be used. The message is one line that names it and says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything the hub can be told from outside. Durations are in seconds, sizes in bytes."""

    database_url: str = "sqlite:///hub.db"
    redis_url: str | None = None
    redis_insecure_tls: bool = False
    port: int = 8000
    workers: int = 1
    public_url: str | None = None
    secret_key: str | None = None
    trusted_proxies: tuple[Network, ...] = LOOPBACK
    geoip_db: Path | None = None
    data_dir: Path = DATA_DIR
    spool_dir: Path = SPOOL_DIR
    repeat_seconds: int = 30
    log_level: str = "info"
    unread: tuple[str, ...] = ()
    """Variables that begin with HUB_ and are none of ours, each perhaps with the one that is meant."""

    # Some of these belong to the contract, the others are ours. Tests shorten them; the environment cannot.
    heartbeat_seconds: float = 20.0
    connect_seconds: float = 10.0
    send_seconds: float = 10.0
    log_check_seconds: float = 30.0
    sweep_seconds: float = 600.0
    stream_seconds: float = 600.0
    drain_seconds: float = 5.0
    commit_seconds: float = 0.6
    max_sockets_per_user: int = 20
    max_queue_bytes: int = 1 << 20
    log_days: int = 30

    @property
    def embedded(self) -> bool:
        """Whether the database is a file of our own, which `serve` migrates by itself."""
        return self.database_url.startswith("sqlite")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Config:
        """Read the configuration from `environ` (default: the process's own).

        Raises `ConfigError` for the first value that cannot be used.
        """
        env = os.environ if environ is None else environ
        default = cls()

        names: list[str] = []

        def get(name: str) -> str | None:
            names.append(name)
            text = env.get(name, "").strip()
            if not _is_unicode(text):
                raise ConfigError(f"{name} has bytes in it that are not UTF-8: set it anew")
            if "\0" in text:
                raise ConfigError(f"{name} has a NUL character in it: set it anew")
            return text or None

        database_url = _database_url(get("DATABASE_URL") or default.database_url)
        config = cls(
            database_url=database_url,
            redis_url=_redis_url(get("REDIS_URL")),
            redis_insecure_tls=_switch("HUB_REDIS_INSECURE_TLS", get("HUB_REDIS_INSECURE_TLS")),
            port=_whole("PORT", get("PORT"), default=default.port, least=0, most=65535),
            workers=_whole("WEB_CONCURRENCY", get("WEB_CONCURRENCY"), default=default.workers, least=1, most=64),
            public_url=_public_url(get("HUB_PUBLIC_URL")),
            secret_key=_secret_key(get("HUB_SECRET_KEY")),
            trusted_proxies=_networks(get("HUB_TRUSTED_PROXIES")),
            geoip_db=_file("HUB_GEOIP_DB", get("HUB_GEOIP_DB")),
            data_dir=Path(get("HUB_DATA_DIR") or default.data_dir),
            spool_dir=_spool_dir(get("HUB_SPOOL_DIR"), database_url),
            repeat_seconds=_whole(
                "HUB_REPEAT_SECONDS", get("HUB_REPEAT_SECONDS"), default=default.repeat_seconds, least=0, most=3600
            ),
            log_level=_log_level(get("HUB_LOG_LEVEL") or default.log_level),
        )
        return replace(config, unread=_unread(env, names))


def sqlite_path(database_url: str) -> str:
    """The file behind `sqlite:///FILE`, in which a % is written %25 and a ? %3F."""
    return unquote(database_url.removeprefix("sqlite:///").partition("?")[0])


def _unread(env: Mapping[str, str], names: list[str]) -> tuple[str, ...]:
    """What begins with HUB_ in the environment and was not asked for: most likely a setting that is misspelt.

    It does not stop the start, because Kubernetes sets such variables by itself for a service of the name "hub".
    """
    unread = sorted(name for name in env if name.startswith("HUB_") and name not in names)
    if not unread:
        return ()
    # Only here, because most commands do without, and it takes time.
    from difflib import get_close_matches

    meant = [next(iter(get_close_matches(name, names, n=1, cutoff=0.65)), None) for name in unread]
    return tuple(f"{name} (perhaps {like})" if like else name for name, like in zip(unread, meant, strict=True))


def _is_unicode(text: str) -> bool:
    """Whether `text` is free of surrogates, by which Python hands on bytes of the environment that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _whole(name: str, text: str | None, *, default: int, least: int, most: int) -> int:
    if text is None:
        return default
    readable = text.isascii() and text.isdigit() and len(text) <= WHOLE_MOST_DIGITS
    if not readable or not least <= int(text) <= most:
        raise ConfigError(f"{name} is {text[:40]!r}: set it to a whole number from {least} to {most}")
    return int(text)


def _switch(name: str, text: str | None) -> bool:
    if text is None or text in ("0", "false", "no"):
        return False
    if text in ("1", "true", "yes"):
        return True
    raise ConfigError(f"{name} is {text[:40]!r}: set it to 1 or 0")


def _database_url(text: str) -> str:
    """Accept what hosts hand out: `postgres://` is the same as `postgresql://`."""
    scheme, separator, rest = text.partition("://")
    if separator and scheme in ("postgres", "postgresql") and rest:
        # With two @, the library that connects and the one that migrates would each cut at a different one.
        if not _is_server(text) or rest.count("@") > 1:
            raise ConfigError(
                "DATABASE_URL cannot be read: set it to postgresql://USER:PASSWORD@HOST:PORT/NAME, the port a number, "
                "and @ / ? # in the password as %40 %2F %3F %23"
            )
        return f"postgresql://{rest}"
    if scheme == "sqlite" and ":memory:" in rest:
        raise ConfigError("DATABASE_URL names a database in memory, which would lose every open: name a file")
    path = rest.partition("?")[0]
    if scheme == "sqlite" and "\0" in unquote(path):
        raise ConfigError("DATABASE_URL has a NUL character (%00) in it: name another file")
    if scheme == "sqlite" and max(len(part.encode()) for part in path.split("/")) > FILE_NAME_BYTES:
        raise ConfigError(
            f"DATABASE_URL names a file or folder of more than {FILE_NAME_BYTES} bytes: name a shorter one"
        )
    if scheme == "sqlite" and path.startswith("/") and path.strip("/") and not path.endswith("/"):
        return text
    begins = f"begins with {scheme[:20]!r}" if separator else "is not an address"
    raise ConfigError(f"DATABASE_URL {begins}: set it to sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME")


def _is_server(text: str) -> bool:
    """Whether an address can be read in one way only: a / ? or # in the password would change where it is cut."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return not ("@" in parts.path + parts.query or parts.fragment or any(c.isspace() for c in text))


def _redis_url(text: str | None) -> str | None:
    if text is None:
        return None
    if not text.startswith(("redis://", "rediss://")):
        raise ConfigError("REDIS_URL must begin with redis:// or rediss://")
    database = urlsplit(text).path.strip("/") if _is_server(text) else None
    if database is None or not urlsplit(text).hostname or not (database or "0").isdecimal():
        raise ConfigError(
            "REDIS_URL cannot be read: set it to redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], port and database "
            "numbers, and / ? # in the password as %2F %3F %23"
        )
    return text


def _public_url(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        has_host = all((parts.hostname or "").rstrip(".").split("."))
        usable = parts.scheme in ("http", "https") and has_host and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not text.isprintable() or UNUSABLE_IN_A_LINK.search(text):
        raise ConfigError(f"HUB_PUBLIC_URL is {text[:80]!r}: set it to an address like https://hub.example.com")
    return text.rstrip("/")


def _secret_key(text: str | None) -> str | None:
    if text is not None and len(text) < SECRET_MIN_CHARACTERS:
        raise ConfigError(f"HUB_SECRET_KEY is too short: give it at least {SECRET_MIN_CHARACTERS} characters")
    return text


def _networks(text: str | None) -> tuple[Network, ...]:
    if text is None:
        return LOOPBACK
    networks = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        try:
            networks.append(_plain(ipaddress.ip_network(item)))
        except ValueError:
            raise ConfigError(
                f"HUB_TRUSTED_PROXIES has {item[:60]!r}: give networks like 10.0.0.0/8, separated by commas"
            ) from None
    return tuple(networks)


def _plain(network: Network) -> Network:
    """The network in the form that peers are compared with: an IPv4 network written as IPv6 becomes plain IPv4."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None or network.prefixlen < MAPPED_BITS:
        return network
    return ipaddress.ip_network((mapped, network.prefixlen - MAPPED_BITS))


def out_of_reach(path: Path) -> str | None:
    """Why the system does not tell what is at a path, or None: its name is too long, or a folder on the way is closed.

    Up to Python 3.13 `Path.is_dir` and its like raise for such a path.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return error.strerror or str(error)
    return None


def _file(name: str, text: str | None) -> Path | None:
    if text is None:
        return None
    path = Path(text)
    if reason := out_of_reach(path):
        raise ConfigError(f"{name} is {text[:120]!r}: {reason}; name a file that can be read")
    if path.is_dir():
        raise ConfigError(f"{name} is {text[:120]!r}: that is a folder; name the file in it")
    if not path.is_file():
        raise ConfigError(f"{name} is {text[:120]!r}: there is no such file; name one that is there, or leave it out")
    return path


def _spool_dir(text: str | None, database_url: str) -> Path:
    if text is not None:
        return Path(text)
    if database_url.startswith("sqlite"):
        return Path(f"{sqlite_path(database_url)}.spool")
    return SPOOL_DIR


def _log_level(text: str) -> str:
    level = text.lower()
    if level not in LOG_LEVELS:
        raise ConfigError(f"HUB_LOG_LEVEL is {level[:40]!r}: set it to one of {', '.join(LOG_LEVELS)}")
    return level
