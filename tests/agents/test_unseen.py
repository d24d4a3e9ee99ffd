"""What a reader may overlook in a call is said to whoever approves it."""

import pytest

from services.agents.tools.unseen import warnings_of


@pytest.mark.parametrize(
    "text",
    [
        "make test",
        "a\n\tb",
        "naïve – “quotes” … ünïcödé",
        "日本語のテスト",
        "echo 1 && echo 2 | wc",
        " " * 79,
        "a" + "\n" * 20 + "b",
        "👍🏽",
    ],
    ids=["plain", "lines", "latin", "japanese", "operators", "few blanks", "few lines", "emoji"],
)
def test_what_is_seen_needs_no_warning(text: str) -> None:
    assert warnings_of({"command": text}) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rm \u202egpj.x", "U+202E (RIGHT-TO-LEFT OVERRIDE)"),
        ("a\u200bb", "U+200B (ZERO WIDTH SPACE)"),
        ("a\u00a0b", "U+00A0 (NO-BREAK SPACE)"),
        ("a\rb", "U+000D (a control character)"),
        ("\x1b[2Kls", "U+001B (a control character)"),
        ("a\u3164b", "U+3164 (HANGUL FILLER)"),
        ("a\u2800b", "U+2800 (BRAILLE PATTERN BLANK)"),
        ("a\u034fb", "U+034F (COMBINING GRAPHEME JOINER)"),
        ("a\u17b4b", "U+17B4 (KHMER VOWEL INHERENT AQ)"),
        ("a\u180bb", "U+180B (MONGOLIAN FREE VARIATION SELECTOR ONE)"),
        ("x\U000e0041", "U+E0041 (TAG LATIN CAPITAL LETTER A)"),
        ("a\u2028b", "U+2028 (LINE SEPARATOR)"),
        ("ls" + " " * 200 + "; rm -rf .", "200 blanks in a row"),
        ("ls" + "\n \t" * 50 + "rm -rf .", "49 empty lines in a row"),
    ],
    ids=[
        *("bidi", "zero width", "no-break", "return", "escape", "filler", "braille", "joiner", "khmer", "mongolian"),
        *("tags", "separator", "blanks", "empty lines"),
    ],
)
def test_what_hides_is_named(text: str, said: str) -> None:
    [warning] = warnings_of({"command": text})
    assert warning.startswith("`command` ")
    assert said in warning


def test_place_inside_of_the_arguments_is_named() -> None:
    assert [each.split(" ")[0] for each in warnings_of({"a": [{"b": "\u200b"}], "c": "\u200b"})] == ["`a[0].b`", "`c`"]


def test_no_more_than_ten_things_are_said() -> None:
    assert len(warnings_of({"text": "".join(map(chr, range(0x200B, 0x2010))) + "".join(map(chr, range(1, 9)))})) == 10
