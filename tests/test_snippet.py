"""The snippet: one image, whatever its address holds."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.model import id_text
from hub.tracking.snippet import image_tag, pixel_url
from hub.tracking.token import Keys


class Reader(HTMLParser):
    """What a mail program sees: every tag with its attributes, and the text between."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_snippet_is_an_invisible_image_of_one_pixel() -> None:
    token = Keys("a secret of the tests").sign(id_text(bytes(16)), 1)
    url = pixel_url("https://hub.example.com", token)
    assert url == f"https://hub.example.com/o/{token}.gif"
    [(tag, attributes)] = Reader(image_tag(url)).tags
    assert tag == "img"
    assert attributes == {
        "src": url,
        "width": "1",
        "height": "1",
        "alt": "",
        "style": "border:0;width:1px;height:1px",
    }


@pytest.mark.parametrize("text", ['"><script>alert(1)</script>', "'onerror=alert(1)", "a&b", "&amp;", "&lt;", "<!--"])
def test_snippet_escapes_its_address(text: str) -> None:
    reader = Reader(image_tag(f"https://hub.example.com/{text}"))
    assert [tag for tag, _ in reader.tags] == ["img"]
    assert reader.tags[0][1]["src"] == f"https://hub.example.com/{text}"
    assert reader.text == ""


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60))
def test_snippet_of_any_address_is_one_image(url: str) -> None:
    reader = Reader(image_tag(url))
    assert [(tag, attributes["src"]) for tag, attributes in reader.tags] == [("img", url)]
    assert reader.text == ""


def test_snippet_is_plain_ascii_on_one_line() -> None:
    """It passes through quoted-printable, templates and 7-bit relays unharmed."""
    tag = image_tag(pixel_url("https://hub.example.com", "x" * 40))
    assert tag.isascii()
    assert tag.isprintable()
