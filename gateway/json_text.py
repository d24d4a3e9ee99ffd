"""Strict JSON: what a lenient parser would pass over in silence is refused here."""

import json
import math
from typing import Any

# A Struct nested so deep still fits in the 100 messages that protobuf parsers nest at most.
MAX_DEPTH = 30


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
    if _depth(body) > MAX_DEPTH:
        raise MalformedJson("NESTED_TOO_DEEP", f"the JSON is nested deeper than {MAX_DEPTH} levels")
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
    except ValueError:
        # int() refuses thousands of digits.
        raise MalformedJson("MALFORMED_JSON", "a number of the JSON is too long") from None
    return value


def _depth(body: bytes) -> int:
    """How deep brackets nest, outside of strings. Counted first: a parser would run into its recursion limit."""
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    in_string = escaped = False
    for byte in body:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > MAX_DEPTH:
                break
        elif byte in b"}]":
            depth -= 1
    return deepest


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
