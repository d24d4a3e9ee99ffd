"""Finds the JSON of a plan in what a model wrote around it."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, NoReturn

# Prose has few brackets before its JSON, and what stands in them is short: more is not worth the time, in which this
# process does nothing else.
_MOST_TRIES = 40
_MOST_READ = 3
"""Times the length of the text."""
_OPENING = re.compile(r"[{\[]")


class NotJson(ValueError):
    """The text does not hold exactly one plan as JSON. Its text says what to change."""


class Number(str):
    """A number as it was written: ids may be numbers, and nothing computes with them."""

    __slots__ = ()


class Object(dict[str, Any]):
    """A JSON object. `repeated` are the keys that it has more than once, of which the last counts."""

    def __init__(self, pairs: Iterable[tuple[str, Any]]) -> None:
        pairs = list(pairs)
        super().__init__(pairs)
        self.repeated: tuple[str, ...] = ()
        if len(pairs) > len(self):
            times = Counter(key for key, _ in pairs)
            self.repeated = tuple(key for key in self if times[key] > 1)


def find_plan(text: str) -> Object | list[Any]:
    """Return the one JSON value in a text that may be a plan: an object with `tasks`, or a list of objects.

    Where there is none, the first object or list, which is no plan. Around it may be any text. Raise NotJson.
    """
    plans: list[Object | list[Any]] = []
    others: list[Object | list[Any]] = []
    broken: list[json.JSONDecodeError] = []
    inside = False
    at = read = 0
    for _ in range(_MOST_TRIES):
        opening = _OPENING.search(text, at)
        if opening is None or read > _MOST_READ * len(text):
            break
        try:
            value, at = _DECODER.raw_decode(text, opening.start())
        except RecursionError:
            raise NotJson("the answer is nested too deeply: a plan is an object with one list of tasks") from None
        except json.JSONDecodeError as error:
            at = opening.end()
            read += error.pos - opening.start()
            broken.append(error)
            inside = inside or opening.group() == "{"
        else:
            # A list in an object that broke off is a part of a plan, and may not be the whole of it.
            may_be_plan = "tasks" in value if isinstance(value, Object) else not inside and _of_objects(value)
            (plans if may_be_plan else others).append(value)
    if len(plans) > 1:
        raise NotJson("the answer holds more than one plan: answer with one JSON object and nothing else")
    if not plans and (broken or not others):
        raise NotJson(_why(broken))
    return (plans or others)[0]


def _of_objects(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(each, Object) for each in value)


def _why(broken: list[json.JSONDecodeError]) -> str:
    if not broken:
        return "the answer holds no JSON: answer with one JSON object and nothing else"
    furthest = max(broken, key=lambda error: error.pos)
    place = f"line {furthest.lineno}, column {furthest.colno}"
    return f"the answer is no valid JSON ({furthest.msg}, {place}): answer with one JSON object and nothing else"


def _no_number(written: str) -> NoReturn:
    raise NotJson(f"the answer has {written}, which is no JSON: answer with one JSON object and nothing else")


_DECODER = json.JSONDecoder(object_pairs_hook=Object, parse_int=Number, parse_float=Number, parse_constant=_no_number)
