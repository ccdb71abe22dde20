"""The nouns: ids that keep their order, and what follows from a message's fields."""

from __future__ import annotations

import string

import pytest
import uuid_utils
from hypothesis import assume, given
from hypothesis import strategies as st

from hub.model import ID_CHARACTERS, id_bytes, id_text, is_id, new_id
from tests.samples import a_message

BASE32HEX = string.digits + "abcdefghijklmnopqrstuv"
milliseconds = st.integers(0, (2**64 - 1) // 10**6)
raw_ids = st.binary(min_size=16, max_size=16)


def test_ids_made_one_after_another_sort_as_made() -> None:
    ids = [new_id() for _ in range(5_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


@given(milliseconds, milliseconds)
def test_ids_sort_by_their_time(first: int, second: int) -> None:
    assume(first != second)
    one, other = (id_text(uuid_utils.uuid7(nanoseconds=at * 10**6).bytes) for at in (first, second))
    assert (one < other) == (first < second)


@given(raw_ids, raw_ids)
def test_ids_sort_as_their_bytes_do(one: bytes, other: bytes) -> None:
    assert (id_text(one) < id_text(other)) == (one < other)


@given(raw_ids)
def test_id_and_its_bytes_are_made_from_each_other(raw: bytes) -> None:
    text = id_text(raw)
    assert id_bytes(text) == raw
    assert len(text) == ID_CHARACTERS
    assert set(text) <= set(BASE32HEX)


@given(raw_ids, st.integers(0, ID_CHARACTERS - 1), st.sampled_from(BASE32HEX) | st.characters())
def test_id_with_one_character_changed_is_another_id_or_none(raw: bytes, at: int, character: str) -> None:
    text = id_text(raw)
    changed = text[:at] + character + text[at + 1 :]
    if is_id(changed):
        assert (id_bytes(changed) == raw) == (changed == text)


@given(st.text(max_size=40) | st.text(alphabet=BASE32HEX, min_size=ID_CHARACTERS, max_size=ID_CHARACTERS))
def test_text_of_any_kind_is_an_id_or_is_not(text: str) -> None:
    assert is_id(text) == (len(text) == ID_CHARACTERS and set(text) <= set(BASE32HEX) and text[-1] in "048cgkos")


@pytest.mark.parametrize(
    "change", [str.upper, lambda text: text + "=", lambda text: text[:-1], lambda text: " " + text]
)
def test_id_spelt_otherwise_is_refused(change: object) -> None:
    assert callable(change)
    text = id_text(b"\xff" * 16)
    with pytest.raises(ValueError, match="not an id"):
        id_bytes(change(text))


@pytest.mark.parametrize(("form", "tracked"), [("html", True), ("plain", False)])
def test_message_is_tracked_where_it_can_carry_an_image(form: str, tracked: bool) -> None:
    assert a_message(format=form).tracked is tracked
