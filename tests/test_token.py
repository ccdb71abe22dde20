"""Pixel tokens: what was signed comes back, and nothing else is believed."""

from __future__ import annotations

import base64
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hub.model import id_text
from hub.tracking.token import SHARED, TOKEN_CHARACTERS, BadToken, Keys

SECRET = "a secret of the tests"
MESSAGE = id_text(bytes(range(16)))
message_ids = st.binary(min_size=16, max_size=16).map(id_text)
positions = st.integers(SHARED, 2**16 - 1)
secrets = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
URL_SAFE = string.ascii_letters + string.digits + "-_"


@given(secrets, message_ids, positions)
def test_token_signed_is_verified(secret: str, message_id: str, position: int) -> None:
    token = Keys(secret).sign(message_id, position)
    assert Keys(secret).verify(token) == (message_id, position)
    assert len(token) == TOKEN_CHARACTERS
    assert set(token) <= set(URL_SAFE)


@pytest.mark.parametrize("length", [*range(TOKEN_CHARACTERS), *range(TOKEN_CHARACTERS + 1, 100), 10_000])
def test_token_of_another_length_is_refused(length: int) -> None:
    token = Keys(SECRET).sign(MESSAGE, 1)
    for text in ((token * 260)[:length], "A" * length, "=" * length):
        with pytest.raises(BadToken):
            Keys(SECRET).verify(text)


@pytest.mark.parametrize("bit", range(30 * 8))
def test_token_with_one_bit_flipped_is_refused(bit: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(Keys(SECRET).sign(MESSAGE, 7)))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadToken):
        Keys(SECRET).verify(base64.urlsafe_b64encode(raw).decode())


@given(st.integers(0, TOKEN_CHARACTERS - 1), st.characters())
def test_token_with_one_character_changed_is_refused(at: int, character: str) -> None:
    token = Keys(SECRET).sign(MESSAGE, 1)
    assume(token[at] != character)
    with pytest.raises(BadToken):
        Keys(SECRET).verify(token[:at] + character + token[at + 1 :])


@pytest.mark.parametrize(("safe", "unsafe"), [("-", "+"), ("_", "/")])
def test_token_in_the_other_alphabet_of_base64_is_refused(safe: str, unsafe: str) -> None:
    tokens = [Keys(SECRET).sign(MESSAGE, position) for position in range(100)]
    altered = [token.replace(safe, unsafe) for token in tokens if safe in token]
    assert altered
    for token in altered:
        with pytest.raises(BadToken):
            Keys(SECRET).verify(token)


@given(st.text(max_size=60) | st.text(alphabet=URL_SAFE, min_size=TOKEN_CHARACTERS, max_size=TOKEN_CHARACTERS))
def test_token_made_up_is_refused(text: str) -> None:
    with pytest.raises(BadToken):
        Keys(SECRET).verify(text)


@given(secrets, secrets, message_ids, positions)
def test_token_of_another_key_is_refused(ours: str, theirs: str, message_id: str, position: int) -> None:
    assume(ours != theirs)
    with pytest.raises(BadToken):
        Keys(ours).verify(Keys(theirs).sign(message_id, position))


@given(st.lists(secrets, min_size=2, max_size=4, unique=True), message_ids, positions)
def test_key_rotated_signs_anew_and_the_old_is_still_believed(names: list[str], message_id: str, position: int) -> None:
    new, *old = names
    keys = Keys(*names)
    assert keys.sign(message_id, position) == Keys(new).sign(message_id, position)
    for name in old:
        assert keys.verify(Keys(name).sign(message_id, position)) == (message_id, position)
    with pytest.raises(BadToken):
        Keys(*old).verify(keys.sign(message_id, position))


def test_keys_whose_ids_clash_are_both_believed() -> None:
    """A key's id is one byte: two secrets share it once in 256 times, and no pixel may be lost to that."""
    first_bytes: dict[str, str] = {}
    for number in range(1_000):
        secret = f"secret {number}"
        other = first_bytes.setdefault(Keys(secret).sign(MESSAGE, 1)[:1], secret)
        same_id = (
            base64.urlsafe_b64decode(Keys(secret).sign(MESSAGE, 1))[0]
            == (base64.urlsafe_b64decode(Keys(other).sign(MESSAGE, 1))[0])
        )
        if other != secret and same_id:
            break
    else:
        raise AssertionError("no two secrets with one id")
    assert Keys(secret, other).verify(Keys(other).sign(MESSAGE, 1)) == (MESSAGE, 1)
    assert Keys(secret, other).verify(Keys(secret).sign(MESSAGE, 1)) == (MESSAGE, 1)


def test_keys_without_a_secret_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one secret"):
        Keys()


def test_token_and_client_hash_are_what_they_always_were() -> None:
    """Pixels are in mail for years, and hits in a spool wait for the next release with the hashes of this one."""
    keys = Keys(SECRET)
    assert keys.sign(MESSAGE, 258) == "8QABAgMEBQYHCAkKCwwNDg8BAmbMOT3PgDZVZ4iQ"
    assert keys.client_hash("192.0.2.1", "A", 20_000) == "fe390fbb47e932fe936c3585"


def test_client_hash_says_who_within_a_day_only() -> None:
    keys = Keys(SECRET)
    hashes = {
        keys.client_hash(address, agent, day)
        for address in ("192.0.2.1", "192.0.2.2", "2001:db8::1")
        for agent in ("", "A", "B")
        for day in (20_000, 20_001)
    }
    assert len(hashes) == 18
    assert keys.client_hash("192.0.2.1", "A", 20_000) in hashes
    assert Keys("another secret").client_hash("192.0.2.1", "A", 20_000) not in hashes


@given(st.text(max_size=40), st.text(max_size=40))
def test_client_hash_of_any_header_is_short_hex(address: str, agent: str) -> None:
    assert set(Keys(SECRET).client_hash(address, agent, 0)) <= set(string.hexdigits.lower())
    assert len(Keys(SECRET).client_hash(address, agent, 0)) == 24
