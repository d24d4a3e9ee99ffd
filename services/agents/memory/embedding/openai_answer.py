"""Reading an answer to a request for embeddings. Nothing here trusts its shape."""

from typing import Any

# Of the largest number of a vector: stores hold single precision, and compute squares.
_LEAST, _MOST = 1e-18, 1e18


def vectors_in(body: bytes, count: int) -> list[list[float]]:
    """The vectors of an answer to a request with so many texts, in their order. Raise ValueError if it has others."""
    import orjson

    answer = orjson.loads(body)
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list) or len(data) != count:
        raise ValueError("not a vector for each text")
    vectors = dict(_numbered(place, each) for place, each in enumerate(data))
    if vectors.keys() != set(range(count)):
        raise ValueError("not every index")
    if len({len(vector) for vector in vectors.values()}) != 1:
        raise ValueError("vectors of several lengths")
    return [vectors[index] for index in range(count)]


def _numbered(place: int, item: Any) -> tuple[int, list[float]]:
    if not isinstance(item, dict):
        raise ValueError("not an embedding")
    index, numbers = item.get("index"), item.get("embedding")
    if index is None:
        # Servers that count nothing answer in order.
        index = place
    if type(index) is not int or not isinstance(numbers, list):
        raise ValueError("not an embedding")
    if not numbers or not all(type(each) in (float, int) for each in numbers):
        raise ValueError("not a vector")
    if not _LEAST < max(map(abs, numbers)) < _MOST:
        raise ValueError("not a vector with a direction")
    return index, [float(each) for each in numbers]
