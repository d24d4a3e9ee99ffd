"""Pages and the tokens that lead from one to the next."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from services.runtime.errors import InvalidPageToken
from services.runtime.pages import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, decode_token, encode_token, fitting, page_size

NOW = datetime(2026, 5, 17, 12, 30, 15, 123456, tzinfo=UTC)
QUERY = ("projects", "user", None)
TYPES = (datetime, str, int)


def forged(*parts: Any) -> str:
    """A token with the fingerprint of QUERY and any parts: fingerprints are no signatures."""
    good = encode_token([NOW, "a", 1], *QUERY)
    fingerprint = json.loads(base64.urlsafe_b64decode(good + "=="))[0]
    return base64.urlsafe_b64encode(json.dumps([fingerprint, *parts]).encode()).decode()


@pytest.mark.parametrize(
    ("requested", "size"), [(0, DEFAULT_PAGE_SIZE), (1, 1), (200, 200), (201, MAX_PAGE_SIZE), (2**31 - 1, 200)]
)
def test_page_size_has_a_default_and_a_most(requested: int, size: int) -> None:
    assert page_size(requested) == size


def test_no_token_is_the_first_page() -> None:
    assert decode_token("", *QUERY, types=TYPES) is None


def test_token_leads_back_to_its_position() -> None:
    position = [NOW, "ünï", 7]
    assert decode_token(encode_token(position, *QUERY), *QUERY, types=TYPES) == position


def test_token_is_safe_in_a_url() -> None:
    token = encode_token([NOW, "???>>>~~~", 7], *QUERY)
    assert token.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize("query", [("projects", "other", None), ("projects", "user", "x"), ("projects", "user")])
def test_token_of_another_query_is_refused(query: tuple[object, ...]) -> None:
    with pytest.raises(InvalidPageToken):
        decode_token(encode_token([NOW, "a", 1], *query), *QUERY, types=TYPES)


@pytest.mark.parametrize(
    "token",
    ["x", "====", "ÿ", "\x00", "e30", "W10", "NQ", "bnVsbA", base64.urlsafe_b64encode(b"[" * 100_000).decode()],
    ids=["short", "padding", "not ASCII", "NUL", "{}", "[]", "5", "null", "deep"],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidPageToken):
        decode_token(token, *QUERY, types=TYPES)


@pytest.mark.parametrize("rubbish", ["!", "\n", " ", "=", "a", "é"])
def test_token_with_rubbish_in_it_is_refused(rubbish: str) -> None:
    token = encode_token([NOW, "a", 1], *QUERY)
    for wrong in (f"{token[:8]}{rubbish}{token[8:]}", token[:-1], token[1:]):
        with pytest.raises(InvalidPageToken):
            decode_token(wrong, *QUERY, types=TYPES)


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (NOW.isoformat(), "a"),
        (NOW.isoformat(), "a", 1, 2),
        (NOW.isoformat(), "a", True),
        (NOW.isoformat(), "a", 1.0),
        (NOW.isoformat(), None, 1),
        ("yesterday", "a", 1),
        ("2026-05-17T12:30:15", "a", 1),
        (5, "a", 1),
        (NOW.isoformat(), "\ud800", 1),
        (NOW.isoformat(), "a", 2**31),
        ([], {}, 1),
    ],
)
def test_part_of_another_type_is_refused(parts: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidPageToken):
        decode_token(forged(*parts), *QUERY, types=TYPES)


def test_moment_is_one_that_exists_in_utc() -> None:
    [moment, *_] = decode_token(forged("2026-05-17T14:30:15+02:00", "a", 1), *QUERY, types=TYPES) or [None]
    assert moment == datetime(2026, 5, 17, 14, 30, 15, tzinfo=timezone(timedelta(hours=2)))
    with pytest.raises(InvalidPageToken):
        decode_token(forged("0001-01-01T00:00:00+23:59", "a", 1), *QUERY, types=TYPES)


@pytest.mark.parametrize(
    ("most_bytes", "shown"), [(100, ["ä", "bb", "cc"]), (6, ["ä", "bb", "cc"]), (5, ["ä", "bb"]), (1, ["ä"])]
)
def test_page_of_large_elements_ends_early_but_not_before_the_first(most_bytes: int, shown: list[str]) -> None:
    assert fitting(["ä", "bb", "cc", "dd"], 3, lambda element: [element, None], most_bytes) == shown
    assert fitting([], 3, lambda element: [element], most_bytes) == []
