"""How rankings are fused, and which words of a request are names rather than prose."""

from datetime import UTC, datetime

import pytest

from services.agents.agent import Owner
from services.agents.memory.model import Found, Memory
from services.agents.memory.recall import fused
from services.agents.memory.words import identifiers_of, word_weights, words_of

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def ranking(*ids: str) -> list[Found]:
    return [Found(Memory(each, Owner("u", "p"), "a", each, "direct_call", NOW), 0.5) for each in ids]


def test_what_is_first_everywhere_scores_one_and_what_is_in_both_is_ahead_of_what_is_in_one() -> None:
    found = fused([ranking("a", "b", "c"), ranking("a", "c", "d")])
    assert [each.memory.id for each in found] == ["a", "c", "b", "d"]
    assert found[0].score == pytest.approx(1.0)
    assert all(0 < each.score <= 1 for each in found)


def test_ranking_of_one_keeps_its_order() -> None:
    assert [each.memory.id for each in fused([ranking("b", "a"), []])] == ["b", "a"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Why does ERR_4711 occur?", ["err_4711"]),
        ("Open parser.py at v1.2", ["parser", "py", "v1", "2"]),
        ("the HTTPServer on feature/login", ["httpserver", "feature", "login"]),
        ("call getUser for ACME", ["getuser", "acme"]),
        ("What do I like to drink in the morning?", []),
    ],
)
def test_identifiers_are_what_people_copy_rather_than_say(text: str, found: list[str]) -> None:
    assert identifiers_of(text) == found


def test_one_word_as_long_as_a_request_may_be_holds_nobody_up() -> None:
    # Read from every character on, it would take an hour.
    assert identifiers_of("a" * 200_000) == []
    assert identifiers_of("a" * 200_000 + "_") == ["a" * 200_000 + "_"]


def test_words_are_folded_and_keep_other_scripts() -> None:
    assert words_of("Straße, ÉTÉ: 42_x, привет!") == ["strasse", "été", "42_x", "привет"]


def test_scripts_without_spaces_are_found_by_their_characters() -> None:
    assert words_of("数据库port6543です。한국어") == ["数", "据", "库", "port6543", "で", "す", "한국어"]


def test_word_weighs_more_where_it_is_repeated_and_less_in_a_longer_text() -> None:
    once, twice, diluted = (next(iter(word_weights(text).values())) for text in ("a", "a a", "a" + " b" * 500))
    assert diluted < once < twice
