"""`MemberStore` of all replicas that share a Redis."""

from services.streams.errors import EventsUnavailable
from services.streams.redis_commits import Commits
from services.streams.redis_wire import escaped
from services.streams.store import SessionKey


class RedisMemberStore:
    """A MemberStore in which Redis, while it is out of reach, knows nobody; so does one that was started again.

    What cannot be added is asked about again. What cannot be removed raises EventsUnavailable, so that whoever deletes
    a session knows that it is to be said again.
    """

    def __init__(self, commits: Commits) -> None:
        self._commits = commits

    async def add(self, session: SessionKey) -> None:
        """See MemberStore."""
        try:
            await self._commits.do(b"add", *_place(session))
        except EventsUnavailable:
            return

    async def has(self, session: SessionKey) -> bool:
        """See MemberStore."""
        try:
            answer = await self._commits.do(b"has", *_place(session))
        except EventsUnavailable:
            return False
        return bool(answer[1])

    async def remove(self, session: SessionKey) -> None:
        """See MemberStore."""
        await self._commits.do(b"remove", *_place(session))


def _place(session: SessionKey) -> tuple[bytes, bytes]:
    """The key of the user's sessions, and this one in it."""
    member = f"{escaped(session.project_id)}:{escaped(session.session_id)}"
    return f"user_sessions:{session.user_id}".encode(), member.encode()
