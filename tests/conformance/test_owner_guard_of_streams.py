"""No event of another owner leaves the store of events, also where one session's id is another's."""

from dataclasses import replace
from typing import Any

import pytest

from services.runtime.ids import new_id
from services.streams.memory_store import MemoryEventStore
from services.streams.store import EventStore, NewEvent, RunKey, SessionKey, TextSnapshot, View
from tests.conformance.owner_questions import ANOTHER_USER, CHANGES, OTHER_PROJECT, Questions, leaks, of_contract


class Confused(SessionKey):
    """A key of which a store looks at the session's id alone."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Confused) and self.session_id == other.session_id

    def __hash__(self) -> int:
        return hash(self.session_id)


@pytest.mark.parametrize("asker", [ANOTHER_USER, OTHER_PROJECT])
async def test_event_store_hands_out_nothing_of_others(asker: str) -> None:
    theirs = Confused(new_id(), new_id(), new_id())
    mine = theirs._replace(user_id=new_id()) if asker == ANOTHER_USER else theirs._replace(project_id=new_id())
    run, event = RunKey(new_id(), 1), NewEvent("run_failed", final=False, payload=b"of Ann")
    store = MemoryEventStore(lambda: 0.0, iter("abcdefgh").__next__)
    heard: list[Any] = []

    async def listen() -> None:
        with store.listen(mine, lambda position, content: heard.append(content)):
            await store.publish(theirs, run, event, 2)
            text = TextSnapshot(run.run_id, new_id(), None, new_id(), 1, "of Ann", 0.0)
            await store.publish_text(theirs, run, text)
            assert store.publish_text_now(theirs, run, replace(text, text="of Ann, too"))
        assert heard == []

    async def read() -> View:
        await store.publish(theirs, run, event, 1)
        return await store.read(mine, run.run_id)

    async def publish() -> None:
        await store.publish(theirs, run, event, 3)
        # The run's third event is known, but to its own session.
        first = await store.publish(mine, run, event, 3)
        assert first is not None
        assert first.seq == 1

    questions: Questions = {"listen": listen, "read": read, "publish": publish}
    exempt = {"open_run": CHANGES, "publish_text": CHANGES, "publish_text_now": CHANGES, "close": CHANGES}
    assert questions.keys() | exempt.keys() == of_contract(EventStore)
    assert await leaks(questions, ["of Ann", run.run_id]) == {}
