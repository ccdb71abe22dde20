"""Pixel tokens: which message, and whose copy, a pixel belongs to.

Promise: a token says nothing to whoever holds it, cannot be made without the key, and is refused
without asking the database. It carries a key id, the message's id, the recipient's position and a
MAC; never an address.

    1 byte key id | 16 bytes message id | 2 bytes position | 11 bytes of HMAC-SHA256

30 bytes are exactly 40 characters of base64url, so there is no padding and one spelling only. The secrets behind the
keys also key the hashes that stand for clients and names.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

from hub.model import id_bytes, id_text

TOKEN_CHARACTERS = 40
MAC_BYTES = 11
SHARED = 0
"""The position of a pixel that several recipients share."""

_is_token = re.compile(rf"[A-Za-z0-9_-]{{{TOKEN_CHARACTERS}}}").fullmatch


class BadToken(ValueError):
    """Not a token of ours: forged, cut or made with a key we do not have."""


class Keys:
    """The keys that pixels are signed with: the first signs, all of them verify.

    `secrets` are texts of any length; each key's id follows from its secret, so that every process
    agrees on it and an old secret can be kept for the pixels already sent.
    """

    def __init__(self, *secrets: str) -> None:
        self.replace(*secrets)

    def replace(self, *secrets: str) -> None:
        """Use these secrets from now on, in place of the former ones. Raises ValueError if there are none."""
        if not secrets:
            raise ValueError("at least one secret is needed")
        derived = [hashlib.sha256(b"glimpse/pixel/1\0" + secret.encode()).digest() for secret in secrets]
        # A list, not a mapping: an id is one byte, so two secrets may share one, and both have to be valid.
        self._keys = [(key[0], hmac.new(key[1:], digestmod="sha256")) for key in derived]
        self._client_secret = hashlib.sha256(b"glimpse/client/1\0" + secrets[0].encode()).digest()
        self._name_secret = hashlib.sha256(b"glimpse/name/1\0" + secrets[0].encode()).digest()

    def sign(self, message_id: str, position: int) -> str:
        """The token for `message_id`'s pixel at `position` (`SHARED`, or a recipient's place from 1)."""
        key_id, key = self._keys[0]
        body = bytes([key_id]) + id_bytes(message_id) + position.to_bytes(2, "big")
        return base64.urlsafe_b64encode(body + _mac(key, body)).decode()

    def verify(self, token: str) -> tuple[str, int]:
        """The message id and position in `token`. Raises `BadToken` if it is not ours."""
        if not _is_token(token):
            raise BadToken(f"a token is {TOKEN_CHARACTERS} characters of base64url")
        raw = base64.urlsafe_b64decode(token)
        body, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
        for key_id, key in self._keys:
            if key_id == body[0] and hmac.compare_digest(mac, _mac(key, body)):
                return id_text(body[1:17]), int.from_bytes(body[17:19], "big")
        raise BadToken("the MAC does not fit")

    def client_hash(self, address: str, user_agent: str, day: int) -> str:
        """A keyed hash of who made a hit, for seeing a repeat; another on each `day`, in days since the epoch."""
        text = f"{address}\0{user_agent}".encode(errors="replace")
        salt = day.to_bytes(4, "big")
        return hashlib.blake2b(text, digest_size=12, key=self._client_secret, salt=salt).hexdigest()

    def pseudonym(self, text: str) -> str:
        """A keyed hash that stands for `text`: without the key nobody can tell which text it was."""
        data = text.encode(errors="surrogatepass")
        return hashlib.blake2b(data, digest_size=16, key=self._name_secret).hexdigest()


def _mac(key: hmac.HMAC, body: bytes) -> bytes:
    mac = key.copy()
    mac.update(body)
    return mac.digest()[:MAC_BYTES]
