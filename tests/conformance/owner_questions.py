"""Asking every method of every store's contract for what is somebody else's.

One by which nothing of anybody's can leave is named with the reason why: a new method fails until it says which.
"""

from collections.abc import Awaitable, Callable, Collection
from typing import Any

import pytest

from services.runtime.errors import NotFound
from tests.conformance.forgetful import caught

Questions = dict[str, Callable[[], Awaitable[Any]]]

ANOTHER_USER, OTHER_PROJECT = "another user", "the same user's other project"
CHANGES = "is told by its owner's whole key what to change, and answers with nothing of it"
HOUSEKEEPING = "works for every user and hands out ids alone"
UNDER_A_LEASE = "writes to one run under its lease and answers with what its holder has"


async def leaks(questions: Questions, theirs: Collection[str]) -> dict[str, str]:
    """What is wrong with each question: something of `theirs` came out of it, or nothing was caught."""
    wrong = {}
    for name, ask in questions.items():
        before = caught()
        answer = repr(await ask())
        if leaked := [each for each in theirs if each in answer]:
            wrong[name] = f"handed out {leaked}"
        elif caught() == before:
            wrong[name] = f"caught nothing, answered {answer}"
    return wrong


async def missing(asking: Awaitable[Any]) -> None:
    """What is asked for is answered like what does not exist."""
    with pytest.raises(NotFound):
        await asking


def of_contract(store: type) -> set[str]:
    """The methods that a store's Protocol promises."""
    return {name for name, value in vars(store).items() if callable(value) and not name.startswith("_")}
