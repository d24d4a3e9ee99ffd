"""Strict JSON: what a lenient parser would pass over in silence is refused here."""

import json
import math
from typing import Any

# A Struct nested so deep still fits in the 100 messages that protobuf parsers nest at most.
MAX_DEPTH = 30


# Of digits. Longer ones are beyond every number that JSON can mean here, and slow to read.
_LONGEST_INTEGER = 400


class MalformedJson(ValueError):
    """The text is not JSON as we take it. `reason` is for programs, `field` the path at fault where there is one."""

    def __init__(self, reason: str, detail: str, field: str = "") -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.field = field


def parse(body: bytes) -> Any:
    """The value of a JSON text; an empty one counts as `{}`.

    Numbers beyond a double become infinities, which no field takes: whoever fills it knows its name.
    Raise MalformedJson for what is not UTF-8 or not JSON, duplicate keys, the words NaN and Infinity, lone surrogates,
    and nesting deeper than MAX_DEPTH.
    """
    if not body or body.isspace():
        return {}
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedJson("MALFORMED_ENCODING", f"the body is not UTF-8: byte {error.start} is invalid") from None
    try:
        value = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except MalformedJson:
        raise
    except UnicodeEncodeError:
        raise MalformedJson("MALFORMED_ENCODING", "the JSON escapes half of a surrogate pair") from None
    except json.JSONDecodeError as error:
        raise MalformedJson(
            "MALFORMED_JSON", f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise _too_deep() from None
    _check_containers(value)
    return value


class _Ambiguous(dict[str, Any]):
    """An object in which a key occurs twice."""

    key = ""


# How a container is reached: the way to the one around it, and the key or index in it. None is the outermost.
_Way = tuple[Any, str] | None


def _check_containers(value: Any) -> None:
    """Raise MalformedJson for containers nested deeper than MAX_DEPTH and for objects in which a key occurs twice."""
    level: list[tuple[Any, _Way]] = [(value, None)]
    for _ in range(MAX_DEPTH):
        inside: list[tuple[Any, _Way]] = []
        for container, way in level:
            if isinstance(container, _Ambiguous):
                raise MalformedJson("DUPLICATE_KEY", "occurs twice in one object", _path((way, f".{container.key}")))
            if isinstance(container, dict):
                inside += [(each, (way, f".{key}")) for key, each in container.items() if isinstance(each, dict | list)]
            elif isinstance(container, list):
                inside += [(e, (way, f"[{index}]")) for index, e in enumerate(container) if isinstance(e, dict | list)]
        if not inside:
            return
        level = inside
    raise _too_deep()


def _too_deep() -> MalformedJson:
    return MalformedJson("NESTED_TOO_DEEP", f"the JSON is nested deeper than {MAX_DEPTH} levels")


def _path(way: _Way) -> str:
    steps: list[str] = []
    while way is not None:
        way, step = way
        steps.append(step)
    return "".join(reversed(steps)).removeprefix(".")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    # Objects are read from the inside out: only once all is read is it known where this one stands.
    ambiguous = _Ambiguous(value)
    seen: set[str] = set()
    ambiguous.key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return ambiguous


def _integer(text: str) -> int | float:
    if len(text) <= _LONGEST_INTEGER:
        return int(text)
    return -math.inf if text.startswith("-") else math.inf


def _constant(name: str) -> Any:
    raise MalformedJson("MALFORMED_JSON", f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=_integer, parse_constant=_constant)
