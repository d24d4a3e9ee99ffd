"""Strict JSON: what a lenient parser would pass over in silence is refused here."""

import json
import math
from typing import Any

# A Struct nested so deep still fits in the 100 messages that protobuf parsers nest at most.
MAX_DEPTH = 30
_TOO_DEEP = f"the JSON is nested deeper than {MAX_DEPTH} levels"


class MalformedJson(ValueError):
    """The text is not JSON as we take it. `reason` is for programs, `field` the key at fault where there is one."""

    def __init__(self, reason: str, detail: str, field: str = "") -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.field = field


def parse(body: bytes) -> Any:
    """The value of a JSON text; an empty one counts as `{}`.

    Raise MalformedJson for what is not UTF-8 or not JSON, duplicate keys, NaN and infinities, numbers beyond a double,
    lone surrogates, and nesting deeper than MAX_DEPTH.
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
        raise MalformedJson("NESTED_TOO_DEEP", _TOO_DEEP) from None
    except ValueError:
        # int() refuses thousands of digits.
        raise MalformedJson("MALFORMED_JSON", "a number of the JSON is too long") from None
    if _too_deep(value):
        raise MalformedJson("NESTED_TOO_DEEP", _TOO_DEEP)
    return value


def _too_deep(value: Any) -> bool:
    """Whether containers nest deeper than MAX_DEPTH."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, dict | list)
        ]
        if not level:
            return False
    return True


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise MalformedJson("DUPLICATE_KEY", f"the key {key!r} occurs twice in one object", key)
            seen.add(key)
    return value


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise MalformedJson("NUMBER_OUT_OF_RANGE", f"{text[:40]} is beyond the range of a double")
    return value


def _constant(name: str) -> Any:
    raise MalformedJson("MALFORMED_JSON", f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=_float, parse_constant=_constant)
