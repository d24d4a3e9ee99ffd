"""Holding JSON values against a JSON schema."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_MOST = 10
_LONGEST = 300


def violations(schema: Mapping[str, Any], value: Any) -> list[tuple[str, str]]:
    """What is wrong with the value, as (path, sentence), at most ten; the path is empty for the value as a whole.

    Sentences quote what was given, cut where that is long.
    """
    import orjson

    validator = _validator(orjson.dumps(schema, option=orjson.OPT_SORT_KEYS))
    found = []
    for error in validator.iter_errors(value):
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
        found.append((path.removeprefix("."), error.message[:_LONGEST]))
        if len(found) == _MOST:
            break
    return found


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    # A tenth of a second; most processes never need it.
    import orjson
    from jsonschema import Draft202012Validator

    return Draft202012Validator(orjson.loads(schema))
