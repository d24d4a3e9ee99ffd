"""What is remembered of an interaction, and what counts as said already."""

import pytest

from services.agents.agent import Owner
from services.agents.memory.interactions import LONGEST, another, said_once, told

OWNER = Owner("u", "p")
FACT = "The staging database listens on port 6543."


def test_question_and_answer_are_remembered_with_how_much_was_asked() -> None:
    content, asked = told("Which port?", "It is 6543.", [])
    assert (content, asked) == ("Which port?\n\nIt is 6543.", len("Which port?"))


def test_question_without_an_answer_is_all_there_is() -> None:
    assert told(FACT, "", []) == (FACT, None)


@pytest.mark.parametrize(
    "echo",
    [
        FACT,
        f"> {FACT}",
        f'- "{FACT}"',
        f"   {FACT.upper()}   ",
        f"As you told me:\n\n* {FACT}",
    ],
)
def test_what_was_recalled_is_not_remembered_again(echo: str) -> None:
    content, _ = told("Which port does staging use?", echo, [f"{FACT}\n\nNoted."])
    assert FACT.casefold() not in content.casefold()


def test_answer_that_repeats_the_question_is_not_remembered_twice() -> None:
    assert told(FACT, f"> {FACT}", []) == (FACT, None)


def test_short_lines_that_repeat_by_chance_stay() -> None:
    code = "def f():\n    return {\n    }\nYes."
    assert told("Write f.", code, [code])[0] == f"Write f.\n\n{code}"


def test_new_lines_beside_an_echo_stay_in_their_order() -> None:
    content, _ = told("And the password?", f"First.\n> {FACT}\nSecond.", [FACT])
    assert content == "And the password?\n\nFirst.\nSecond."


def test_content_is_never_longer_than_a_memory_may_be() -> None:
    content, asked = told("q" * LONGEST, "a" * LONGEST, [])
    assert len(content) == LONGEST
    assert asked == LONGEST // 2


@pytest.mark.parametrize("filling", [" ", '"', "> "])
def test_white_space_and_quotation_marks_in_the_middle_of_a_long_line_hold_nobody_up(filling: str) -> None:
    # Read from each of them on, it would take minutes.
    question = f"{FACT}{filling * 20_000}{FACT}"
    assert told(question, f"> {question}", []) == (question, None)


def test_long_answer_is_compared_with_many_short_lines_at_once() -> None:
    # Each line with each, it would take minutes.
    recalled = "\n".join(f"line {number}" for number in range(10_000))
    answer = "\n".join(f"This is new, and number {number}." for number in range(3_000))
    assert told("Count.", answer, [recalled] * 50)[0] == f"Count.\n\n{answer}"


def test_same_thing_has_the_same_id_whatever_its_case_and_white_space() -> None:
    first = said_once(OWNER, "a", FACT)
    assert said_once(OWNER, "a", f"  {FACT.upper()}\n".replace(" ", "\t ")) == first
    others = [
        said_once(OWNER, "b", FACT),
        said_once(Owner("u", "q"), "a", FACT),
        said_once(Owner("v", "p"), "a", FACT),
        said_once(OWNER, "a", FACT + "!"),
        another(first),
        another(another(first)),
    ]
    assert len({first, *others}) == 1 + len(others)
