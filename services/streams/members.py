"""Who may watch which session, as far as this service was told."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from services.streams.store import SessionKey

MEMBER_SECONDS = 3_600.0
MEMBERS = 100_000


class MemberStore(Protocol):
    """The sessions that are known to belong to their user and project.

    A cache: what it has forgotten, after `MEMBER_SECONDS` or beyond `MEMBERS` sessions, is asked about again.
    """

    async def add(self, session: SessionKey) -> None:
        """The session belongs to this user and project. While the backend is out of reach, that is not remembered."""

    async def has(self, session: SessionKey) -> bool:
        """Whether that is known. While the backend is out of reach, nothing is."""

    async def remove(self, session: SessionKey) -> None:
        """The session is gone. Idempotent. Raise EventsUnavailable while the backend is out of reach: say it again."""


class MemoryMemberStore:
    """`MemberStore` in this process.

    No row leaves, so nothing passes an owner's guard: the whole key is asked about, and the answer is yes or no.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives Unix time in seconds."""
        self._clock = clock
        self._until: OrderedDict[SessionKey, float] = OrderedDict()

    async def add(self, session: SessionKey) -> None:
        now = self._clock()
        self._until[session] = now + MEMBER_SECONDS
        self._until.move_to_end(session)
        while len(self._until) > MEMBERS or next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)

    async def has(self, session: SessionKey) -> bool:
        return self._until.get(session, 0.0) > self._clock()

    async def remove(self, session: SessionKey) -> None:
        self._until.pop(session, None)
