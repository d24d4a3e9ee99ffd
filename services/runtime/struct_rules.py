"""What a `google.protobuf.Struct` may hold: what is JSON, and what every database keeps."""

import json
import math
from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format

# Each level takes three messages, and parsers nest a hundred: what is stored must fit into every answer and event.
MAX_DEPTH = 25
# A message on the wire is never this many times as long as its JSON: most a number in a list, 11 bytes against 2.
_WIRE_PER_JSON = 8
_LONGEST_PATH = 200
_NUL = "must not contain U+0000"


def wrong_json(struct: Any, path: str, most_bytes: int) -> Iterator[tuple[str, str]]:
    """Yield (path, what is wrong) for each value that is no JSON, or U+0000; else for what is larger than `most_bytes`.

    The size is that of its compact JSON in UTF-8.
    """
    found = False
    # What is far too large is not worth the walk.
    if struct.ByteSize() <= _WIRE_PER_JSON * most_bytes:
        for wrong in _wrong_fields(struct, path, MAX_DEPTH):
            found = True
            yield wrong
        if found or len(_compact(struct)) <= most_bytes:
            return
    yield path, f"must have at most {most_bytes} bytes of JSON"


def _compact(struct: Any) -> bytes:
    value = json_format.MessageToDict(struct)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _wrong_fields(struct: Any, path: str, levels: int) -> Iterator[tuple[str, str]]:
    if not levels:
        yield path, f"must be nested at most {MAX_DEPTH} levels deep"
        return
    # One long key must not be written once more for each of its many.
    path = path[:_LONGEST_PATH]
    for key, value in sorted(struct.fields.items(), key=lambda item: item[0]):
        if "\0" in key:
            yield path, f"{_NUL} in its keys"
        else:
            yield from _wrong_value(value, f"{path}.{key}", levels)


def _wrong_value(value: Any, path: str, levels: int) -> Iterator[tuple[str, str]]:
    match value.WhichOneof("kind"):
        case "number_value" if not math.isfinite(value.number_value):
            yield path, "must be a finite number"
        case "string_value" if "\0" in value.string_value:
            yield path, _NUL
        case "struct_value":
            yield from _wrong_fields(value.struct_value, path, levels - 1)
        case "list_value" if levels == 1:
            yield path, f"must be nested at most {MAX_DEPTH} levels deep"
        case "list_value":
            for index, element in enumerate(value.list_value.values):
                yield from _wrong_value(element, f"{path}[{index}]", levels - 1)
