"""What an agent remembers: plain values that everything about memory shares."""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from services.agents.agent import Owner

InteractionType = Literal["task", "tool", "direct_call"]
Vector = Sequence[float]
"""An embedding. Vectors of one model have one length; their norm does not matter, similarity is cosine."""
MemoryPosition = tuple[datetime, str]
"""Where a page of a list ends: timestamp and id of its last memory."""

_NO_VECTOR_NAME = re.compile(r"[^a-z0-9._]+")


@dataclass(frozen=True)
class Embedding:
    """What a vector was made by. Only vectors of the same one can be compared."""

    model: str
    dimension: int

    @property
    def vector_name(self) -> str:
        """What the vectors are called in a store, also in its addresses: `minilm-384`."""
        name = _NO_VECTOR_NAME.sub("-", self.model.lower())
        # Two models must not share a name that is no longer quite theirs.
        mark = "" if name == self.model else f"-{zlib.crc32(self.model.encode()):08x}"
        return f"{name}{mark}-{self.dimension}"


@dataclass(frozen=True)
class Collection:
    """The memory of one agent: whose it is, and what its vectors were made by."""

    owner: Owner
    agent_id: str
    embedding: Embedding

    @property
    def name(self) -> str:
        """What the store calls it."""
        return f"{self.agent_id}_context"


@dataclass(frozen=True)
class Memory:
    """One thing that an agent remembers. `timestamp` is aware and has whole microseconds."""

    id: str
    owner: Owner
    agent_id: str
    content: str
    interaction_type: InteractionType
    timestamp: datetime
    session_id: str | None = None
    success: bool = True
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    asked: int | None = None
    """How many code points of the content, from its beginning, are what was asked, which its vector stands for. None:
    the vector stands for all of it."""
    source: str | None = None
    """The task of a run that it comes from, as `{run_id}/{task_id}`; a task must not recall itself."""

    @property
    def embedded_text(self) -> str:
        """The text that its vector stands for."""
        return self.content if self.asked is None else self.content[: self.asked]


@dataclass(frozen=True)
class MemoryFilter:
    """Which memories are meant: those that fit everything that is said here. Saying nothing means all."""

    interaction_types: tuple[InteractionType, ...] = ()
    """One of these."""
    success: bool | None = None
    since: datetime | None = None
    """At this time or later."""
    until: datetime | None = None
    """Before this time."""
    tags: tuple[str, ...] = ()
    """With all of these."""
    session_id: str | None = None
    words: tuple[str, ...] = ()
    """With all of these words, as `words.words_of` finds them in the content."""
    ids: tuple[str, ...] | None = None
    """One of these; an empty tuple fits none."""
    any_words: tuple[str, ...] = ()
    """With at least one of these words."""


EVERYTHING = MemoryFilter()


@dataclass(frozen=True)
class Found:
    """A memory that a search found. What `score` measures, the search says."""

    memory: Memory
    score: float
