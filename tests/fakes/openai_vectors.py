"""The fake model's vectors: a number for each hash of a word, so that texts of the same words are similar."""

import math
import re
import zlib
from collections import Counter
from typing import Any

from tests.fakes.openai_script import Script

DIMENSION = 64
# As OpenAI has it.
_MOST_INPUTS = 2048


class BadInput(Exception):
    """What OpenAI refuses with 400."""


def inputs_of(body: dict[str, Any]) -> list[str]:
    """The texts that are to be embedded. Raise BadInput."""
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not 1 <= len(texts) <= _MOST_INPUTS:
        raise BadInput(f"'input' must be a text or 1 to {_MOST_INPUTS} of them")
    if not all(isinstance(text, str) and text for text in texts):
        raise BadInput("'input' must not have an empty text")
    if body.get("encoding_format") != "float":
        raise BadInput("'encoding_format' must be float: many servers know no other")
    return texts


def vector_of(text: str, dimension: int = DIMENSION) -> list[float]:
    """The vector of a text: length 1, and none of its numbers negative."""
    vector = [0.0] * dimension
    for word, count in Counter(re.findall(r"\w+", text.casefold()) or [""]).items():
        vector[zlib.crc32(word.encode()) % dimension] += count
    norm = math.hypot(*vector)
    return [each / norm for each in vector]


def embeddings(script: Script, model: str, texts: list[str], dimension: int) -> dict[str, Any]:
    """The answer to a request for these texts' vectors, as the script wants it. Raise BadInput."""
    if script.most_words is not None and any(len(text.split()) > script.most_words for text in texts):
        raise BadInput(f"'input' must not have more than {script.most_words} words a text")
    vectors: list[Any] = [vector_of(text, script.dimension or dimension) for text in texts]
    data = [{"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(vectors)]
    match script.fault:
        case "backwards":
            data.reverse()
        case "vector_missing":
            data.pop()
        case "vector_twice":
            data[-1]["index"] = 0
        case "vector_short":
            vectors[-1].pop()
        case "vector_empty":
            vectors[-1].clear()
        case "vector_zero":
            vectors[-1][:] = [0.0] * len(vectors[-1])
        case "vector_huge":
            # Beyond every float: JSON permits it.
            vectors[-1][0] = 10**400
        case "vector_base64":
            data[-1]["embedding"] = "AACAPwAAAAA="
        case "vector_null":
            vectors[-1][0] = None
        case "data_null":
            return {"object": "list", "model": model, "data": None}
    tokens = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": model, "data": data, "usage": usage}
