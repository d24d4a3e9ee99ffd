"""What an EdgeMemoryStore and the process that owns its shards say to each other: pickled frames with their length.

Both ends are this software, started as one; no frame comes from elsewhere.
"""

import pickle
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

_LENGTH = struct.Struct("<Q")
HEAD = _LENGTH.size


@dataclass(frozen=True)
class EdgeLimits:
    """What the process holds at once, and when it does what takes time. It is the first frame."""

    open_shards: int = 128
    """Collections kept open: small ones take less than a MB each, and 30 ms to be opened again."""
    index_from: int = 2_000
    """Memories from which on filters and lists run by indexes, which cost memory for as long as a shard is open."""
    optimize_from: int = 50_000
    """Memories from which on a search by a graph is worth its building: one that compares all of them finds everything,
    in 5 ms."""
    optimize_growth: float = 0.25
    """By how much of what it was a collection grows until it is optimised anew, `optimize_from` at most."""
    flush_every: int = 2_000
    """Writes after which a shard is flushed: a killed process replays at most so many when it opens the shard."""
    copy_seconds: float = 20.0
    """How long writes to a collection may wait until it is copied for the optimiser."""


@dataclass(frozen=True)
class Request:
    """One operation of `edge_shard.Shard` or `edge_server.EdgeServer` on a collection. Repeating it does no harm."""

    id: int
    operation: str
    collection: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What became of a request: its value, that there is no such collection to write to, or what failed."""

    id: int
    outcome: Literal["done", "missing", "failed"]
    value: Any = None


@dataclass(frozen=True)
class Report:
    """Something for the log."""

    level: Literal["info", "warning", "error"]
    event: str
    fields: dict[str, Any]


def framed(value: Any) -> bytes:
    """The value as a frame."""
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


def length_of(head: bytes) -> int:
    """How many bytes follow the first HEAD bytes of a frame."""
    length: int = _LENGTH.unpack(head)[0]
    return length


def value_of(data: bytes) -> Any:
    """The value of a frame, of which these bytes follow the head."""
    return pickle.loads(data)


def packed(vector: Sequence[float]) -> bytes:
    """A vector as 32-bit floats."""
    return array("f", vector).tobytes()


def unpacked(vector: bytes) -> list[float]:
    """The vector that was packed."""
    return array("f", vector).tolist()
