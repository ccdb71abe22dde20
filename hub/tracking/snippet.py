"""The snippet: the image tag that a plugin puts at the end of the new text of a mail."""

from __future__ import annotations

from html import escape

PREFIX, SUFFIX = "/o/", ".gif"
"""What the path of every pixel begins and ends with; the token is between."""


def pixel_url(base_url: str, token: str) -> str:
    """The address of a pixel. `base_url` has no slash at its end."""
    return f"{base_url}{PREFIX}{token}{SUFFIX}"


def image_tag(url: str) -> str:
    """The finished `<img …>`: a real, invisible 1x1 image that changes nothing in the mail's layout.

    The size is set twice because Outlook for Windows reads the attributes and web mail the style.
    """
    return f'<img src="{escape(url)}" width="1" height="1" alt="" style="border:0;width:1px;height:1px">'
