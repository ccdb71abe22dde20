"""Updates of the data sets, from a publisher on the loopback: each is fetched whole or not at all."""

from __future__ import annotations

import gzip
import ssl
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hub.tracking.datasets import PLACES_FILE, RELAY_FILE, Datasets
from hub.tracking.datasets_update import FEWEST_RELAY_BLOCKS, Download, UpdateFailed, fetch_url, update, update_relay
from tests.mmdb import city, mmdb_bytes
from tests.test_datasets import LONDON, RELAY

NOVEMBER = date(2026, 11, 23)
CERTIFICATE = Path(__file__).parent / "self_signed.pem"


class Publisher(ThreadingHTTPServer):
    """A web server with the given files; any other path is a 404."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.broken: dict[str, int] = {}
        self.cut: set[str] = set()
        self.headers: dict[str, str] = {}
        """Sent with every answer, in place of its own."""

    def fetch(self, url: str) -> AbstractContextManager[Download]:
        host, port = str(self.server_address[0]), self.server_address[1]
        return fetch_url(f"http://{host}:{port}{urlsplit(url).path}")


class _Handler(BaseHTTPRequestHandler):
    server: Publisher

    def do_GET(self) -> None:
        body = self.server.files.get(self.path)
        status = self.server.broken.get(self.path, 200 if body is not None else 404)
        self.send_response(status)
        for header in ({"Content-Length": str(len(body or b""))} | self.server.headers).items():
            self.send_header(*header)
        self.end_headers()
        if body:
            self.wfile.write(body[: len(body) // 2] if self.path in self.server.cut else body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


RELAY_PATH = "/egress-ip-ranges.csv"
PLACES_PATH = "/free/dbip-city-lite-2026-11.mmdb.gz"
PLACES_BEFORE = "/free/dbip-city-lite-2026-10.mmdb.gz"
WHOLE_RELAY = (
    "".join(f"10.{number}.0.0/31,US,US-WA,Seattle,\n" for number in range(FEWEST_RELAY_BLOCKS)) + RELAY
).encode()
WHOLE_PLACES = gzip.compress(mmdb_bytes({"8.8.8.0/24": city(None, None, "United States", "US")}, "DBIP-City-Lite"))


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    server = Publisher()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_update_puts_both_in_place_and_shows_its_progress(tmp_path: Path, publisher: Publisher) -> None:
    publisher.files = {RELAY_PATH: WHOLE_RELAY, PLACES_PATH: WHOLE_PLACES}
    seen: list[tuple[str, int, int | None]] = []
    folder = tmp_path / "data"
    assert update(folder, publisher.fetch, lambda *step: seen.append(step), today=NOVEMBER) == []
    assert seen[0] == ("apple-relay", 0, len(WHOLE_RELAY))
    assert seen[-1] == ("places", len(WHOLE_PLACES), len(WHOLE_PLACES))
    data = Datasets.load(folder, None)
    assert [status.problem for status in data.status()] == [None, None]
    assert data.owner("10.7.0.1") == "apple_relay"
    assert data.owner("172.224.226.5") == "apple_relay"
    assert data.place("8.8.8.8").country_code == "US"
    assert sorted(path.name for path in folder.iterdir()) == [PLACES_FILE, RELAY_FILE]


def test_update_is_taken_up_without_a_restart(tmp_path: Path, publisher: Publisher) -> None:
    data = Datasets.load(tmp_path, None)
    publisher.files = {RELAY_PATH: WHOLE_RELAY}
    update_relay(tmp_path, publisher.fetch)
    assert data.reload_if_changed() is True
    assert data.owner("10.7.0.1") == "apple_relay"


def test_update_takes_last_months_places_where_this_months_are_not_there_yet(
    tmp_path: Path, publisher: Publisher
) -> None:
    publisher.files = {RELAY_PATH: WHOLE_RELAY, PLACES_BEFORE: WHOLE_PLACES}
    assert update(tmp_path, publisher.fetch, today=NOVEMBER) == []
    publisher.files = {RELAY_PATH: WHOLE_RELAY, "/free/dbip-city-lite-2026-12.mmdb.gz": WHOLE_PLACES}
    assert update(tmp_path, publisher.fetch, today=date(2027, 1, 2)) == []


@pytest.mark.parametrize(
    ("relay", "places", "problem"),
    [
        (b"<html>", WHOLE_PLACES, "apple-relay: .*line 1 does not begin with a network"),
        (RELAY.encode(), WHOLE_PLACES, "apple-relay: .*only 2 networks: this is not the whole list"),
        (WHOLE_RELAY, b"<html>", "places: .*cannot be used"),
        (WHOLE_RELAY, gzip.compress(b"<html>", mtime=0), "places: .*not a database in the .mmdb format"),
        (WHOLE_RELAY, WHOLE_PLACES[:-20], "places: .*ends too early"),
        (
            WHOLE_RELAY,
            gzip.compress(mmdb_bytes({"81.2.69.0/24": LONDON}, "DBIP-City-Lite")),
            "places: .*knows no country of well-known addresses",
        ),
    ],
)
def test_update_with_an_unusable_file_keeps_the_old_one(
    tmp_path: Path, publisher: Publisher, relay: bytes, places: bytes, problem: str
) -> None:
    publisher.files = {RELAY_PATH: WHOLE_RELAY, PLACES_PATH: WHOLE_PLACES}
    assert update(tmp_path, publisher.fetch, today=NOVEMBER) == []
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    publisher.files = {RELAY_PATH: relay, PLACES_PATH: places}
    problems = update(tmp_path, publisher.fetch, today=NOVEMBER)
    assert len(problems) == 1
    assert "\n" not in problems[0]
    with pytest.raises(UpdateFailed, match=problem):
        raise UpdateFailed(problems[0])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_update_cut_off_keeps_the_old_file(tmp_path: Path, publisher: Publisher) -> None:
    publisher.files = {RELAY_PATH: WHOLE_RELAY, PLACES_PATH: WHOLE_PLACES}
    publisher.cut = {RELAY_PATH, PLACES_PATH}
    problems = update(tmp_path, publisher.fetch, today=NOVEMBER)
    assert ["cut off after" in problem for problem in problems] == [True, True]
    assert list(tmp_path.iterdir()) == []


def test_update_where_the_server_fails_or_has_nothing(tmp_path: Path, publisher: Publisher) -> None:
    publisher.broken = {PLACES_PATH: 503}
    relay, places = update(tmp_path, publisher.fetch, today=NOVEMBER)
    assert relay.endswith("is not there any more")
    assert places.endswith("the server answered 503")
    publisher.broken = {}
    assert update(tmp_path, publisher.fetch, today=NOVEMBER)[1].endswith("is there; try again later")


def test_update_sent_on_to_an_address_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    def sent_on(_url: str) -> AbstractContextManager[Download]:
        # urllib asks for the new address within the same call, and leaves open what sent it there.
        return fetch_url("http://[nowhere/")

    problems = update(tmp_path, sent_on, today=NOVEMBER)
    assert [problem.split(":")[0] for problem in problems] == ["apple-relay", "places"]


def test_fetch_is_not_sent_on_from_https_to_plain_http(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher.files = {RELAY_PATH: WHOLE_RELAY}
    plain = f"http://127.0.0.1:{publisher.server_address[1]}{RELAY_PATH}"

    class SentOn(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", plain)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE)
    # The certificate is not what is tested.
    monkeypatch.setattr("http.client._create_https_context", lambda _version: ssl._create_unverified_context())
    with HTTPServer(("127.0.0.1", 0), SentOn) as secure:
        secure.socket = tls.wrap_socket(secure.socket, server_side=True)
        answering = threading.Thread(target=secure.handle_request)
        answering.start()
        try:
            with (
                pytest.raises(OSError, match="without encryption"),
                fetch_url(f"https://127.0.0.1:{secure.server_port}"),
            ):
                pass
        finally:
            answering.join()
    with fetch_url(plain) as download:
        assert download.stream.read() == WHOLE_RELAY


def test_update_of_a_length_that_is_no_number_goes_without_it(tmp_path: Path, publisher: Publisher) -> None:
    publisher.files = {RELAY_PATH: WHOLE_RELAY, PLACES_PATH: WHOLE_PLACES}
    publisher.headers = {"Content-Length": "\xb2"}
    assert update(tmp_path, publisher.fetch, today=NOVEMBER) == []


def test_update_without_a_connection_says_so_in_one_line(tmp_path: Path) -> None:
    def refused(_url: str) -> AbstractContextManager[Download]:
        return fetch_url("http://127.0.0.1:1/")

    problems = update(tmp_path, refused, today=NOVEMBER)
    assert ["could not be reached" in problem and "\n" not in problem for problem in problems] == [True, True]
