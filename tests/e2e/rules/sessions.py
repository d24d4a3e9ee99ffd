"""What two users do with their sessions."""

import uuid

import hypothesis.strategies as st

from tests.e2e.doors import Door
from tests.e2e.lives import ELSEWHERE, OWNER, STRANGER, Life, approaches, doors, fields, lines, page_sizes, picks, step
from tests.e2e.truth import Json, Keyed, Project, Session, session_body


class SessionRules(Life):
    """A session holds its messages in order, each answer after its message."""

    @step(project=picks, by=approaches, door=doors, session=fields(title=st.none() | lines))
    def create_session(self, project: Project, by: str, door: Door, session: Json) -> None:
        values = {"session": session, "request_id": str(uuid.uuid4())}
        by = STRANGER if by == ELSEWHERE else by
        body = self.reach(project, by, door, "CreateSession", **values)
        if body is None:
            return
        expected = {"title": session.get("title"), "project_id": project.id, "message_count": 0, "last_event_id": None}
        assert body == {**body, **expected, "updated_at": body["created_at"]}
        made = Session(project, len(project.sessions), session_body(body))
        project.sessions.append(made)
        self.keyed.append(Keyed("CreateSession", project.owner, {**project.named, **values}, made))

    @step(session=picks, by=approaches, door=doors)
    def get_session(self, session: Session, by: str, door: Door) -> None:
        found = self.reach(session, by, door, "GetSession")
        if found is not None:
            self.compare_session(session, found)

    @step(session=picks, by=approaches, door=doors, changes=fields(title=st.none() | lines))
    def rename_session(self, session: Session, by: str, door: Door, changes: Json) -> None:
        changed = self.reach(session, by, door, "UpdateSession", session=changes)
        if changed is not None:
            session.body = {**session.body, **changes}
            self.compare_session(session, changed)

    @step(session=picks, by=approaches, door=doors, chance=st.integers(0, 2))
    def delete_session(self, session: Session, by: str, door: Door, chance: int) -> None:
        if chance and by == OWNER and not session.gone:
            return
        if self.reach(session, by, door, "DeleteSession") is not None:
            session.deleted = True

    def compare_session(self, session: Session, found: Json) -> None:
        assert found["updated_at"] >= found["created_at"]
        assert session_body(found) == {**session.body, "message_count": len(session.messages)}

    @step(session=picks, by=approaches, door=doors, size=page_sizes)
    def read_history(self, session: Session, by: str, door: Door, size: int) -> None:
        if by != OWNER or session.gone:
            self.reach(session, by, door, "ListMessages", page_size=size)
            return
        pages, total = self.walk(session.project.owner, door, "ListMessages", "messages", size, **session.named)
        found = [each for page in reversed(pages) for each in page]
        assert [{name: each[name] for name in each.keys() - {"id", "timestamp"}} for each in found] == session.messages
        assert total == len(found) == len({each["id"] for each in found})

    @step(project=picks, by=approaches, door=doors, size=page_sizes)
    def list_sessions(self, project: Project, by: str, door: Door, size: int) -> None:
        found = self.listed(project, by, door, "ListSessions", "sessions", size)
        if found is not None:
            assert [each["id"] for each in found] == [each.id for each in reversed(project.living_sessions)]
            for body, session in zip(found, reversed(project.living_sessions), strict=True):
                self.compare_session(session, body)
