"""What the torture's clients know: whatever the contract forbids is noticed, and nothing else."""

from typing import Any

import pytest

from tests.e2e.events import Frame
from tests.e2e.torture.knowledge import Knowledge, RunKnowledge, Wanted
from tests.e2e.torture.published import Published


def event(id: str, type: str = "tool_started", **payload: Any) -> Frame:
    told = {"id": id, "type": type, "run_id": "r", "final": type == "run_cancelled", "payload": payload or {"of": id}}
    return Frame(id=id, name=type, event=told)


def cursor(id: str) -> Frame:
    return Frame(id=id)


def resync(reason: str, latest: str) -> Frame:
    told = {"type": "resync_required", "payload": {"reason": reason, "latest_id": latest}}
    return Frame(event={"id": None, "run_id": None, "final": False, **told})


def delta(text: str, offset: int = 0, generation: int = 1) -> Frame:
    payload = {"message_id": "m", "generation": generation, "offset": offset, "text": text}
    return Frame(event={"id": None, "type": "message_delta", "run_id": "r", "final": False, "payload": payload})


def answered(id: str, content: str) -> Frame:
    return event(id, "agent_completed", message={"id": "m", "content": content})


def client(*frames: Frame, published: Published | None = None, wanted: Wanted | None = None) -> Knowledge:
    knowledge = Knowledge("client", published or Published(), wanted or Wanted())
    knowledge.connected()
    for frame in frames:
        knowledge.take(frame)
    return knowledge


def wrong(knowledge: Knowledge) -> list[str]:
    return [*knowledge.wrong, *knowledge.missing(), *knowledge.published.contradictions]


def test_whole_sequence_across_connections_is_right() -> None:
    knowledge = client(cursor("a-4"), event("a-5"), event("a-6"))
    knowledge.connected()
    for frame in (cursor("a-6"), event("a-7")):
        knowledge.take(frame)
    assert wrong(knowledge) == []
    assert (knowledge.last_id, knowledge.received) == ("a-7", 3)


@pytest.mark.parametrize(
    ("frames", "complaint"),
    [
        ([cursor("a-4"), event("a-6")], "a-5 never came"),
        ([cursor("a-4"), event("a-5"), event("a-5")], "a-5 came twice"),
        ([cursor("a-4"), event("a-6"), event("a-5")], "a-5 came after a-6"),
        ([cursor("a-4"), event("a-5"), cursor("a-4")], "went from a-5 to a-4"),
        ([cursor("a-4"), cursor("b-0")], "without a resync"),
        ([event("a-5")], "before the cursor"),
        ([delta("x")], "before the cursor"),
        ([cursor("a-4"), resync("buffer_exceeded", "a-104")], "resync_required"),
        ([cursor("a-4"), resync("epoch_changed", "a-204")], "resync_required"),
        ([cursor("a-4"), resync("unknown_cursor", "b-0")], "resync_required"),
        ([cursor("a-4"), Frame(event={"id": None, "type": "stream_ended", "payload": {}}), event("a-5")], "after str"),
        ([cursor("a-4"), delta("ab"), delta("d", 3)], "left a gap"),
        ([cursor("a-4"), delta("ab"), answered("a-5", "ac")], "its text came as 'ab'"),
    ],
)
def test_what_the_contract_forbids_is_wrong(frames: list[Frame], complaint: str) -> None:
    assert complaint in "\n".join(wrong(client(*frames)))


@pytest.mark.parametrize("latest", ["a-105", "b-0", "b-3"])
def test_resync_is_due_where_more_than_the_buffer_or_the_epoch_was_missed(latest: str) -> None:
    reason = "buffer_exceeded" if latest.startswith("a") else "epoch_changed"
    knowledge = client(cursor("a-4"))
    assert knowledge.take(resync(reason, latest))
    knowledge.take(cursor(latest))
    assert wrong(knowledge) == []
    assert knowledge.last_id == latest


def test_filtered_client_lacks_what_it_asked_for_and_others_were_sent() -> None:
    published = Published()
    client(cursor("a-0"), event("a-1"), event("a-2", "agent_started"), event("a-3"), published=published)
    filtered = client(cursor("a-0"), event("a-3"), published=published, wanted=Wanted(types=("tool_started",)))
    [lacking] = wrong(filtered)
    assert "a-1 never came" in lacking
    assert "was not asked for" in "\n".join(wrong(client(cursor("a-0"), event("a-1"), wanted=Wanted(run_id="other"))))


def test_two_who_were_told_different_things_of_one_place_contradict_each_other() -> None:
    published = Published()
    client(cursor("a-0"), event("a-1", of="this"), published=published)
    assert "and to others" in "\n".join(wrong(client(cursor("a-0"), event("a-1", of="that"), published=published)))


def test_publisher_who_is_told_two_places_of_one_event_or_the_wrong_order_is_heard() -> None:
    published = Published()
    for n, id in ((1, "a-1"), (1, "a-2"), (2, "a-1")):
        published.acknowledge("r", n, id, {"n": n})
    told = "\n".join(published.contradictions)
    assert "was given a-1 and a-2" in told
    assert "stand at a-1 and a-1" in told


def test_text_that_only_the_event_completed_is_short_and_that_of_a_later_attempt_begins_anew() -> None:
    knowledge = client(cursor("a-0"), delta("an"), answered("a-1", "answer"))
    assert [each.complaint for each in knowledge.short] != []
    knowledge = client(cursor("a-0"), delta("an"), delta("answer", generation=2), answered("a-1", "answer"))
    assert (knowledge.short, knowledge.begun_anew, knowledge.whole_by_deltas) == ([], {"m"}, {"m"})
    assert wrong(knowledge) == []


def test_sender_who_is_told_again_what_it_had_heard_notices() -> None:
    knowledge = RunKnowledge("asker", Published())
    for frame in (cursor("a-0"), event("a-1"), event("a-2"), event("a-1")):
        knowledge.take(frame)
    assert "a-1 came twice" in "\n".join(knowledge.wrong)
    told = [frame.event for frame in (event("a-1"), event("a-3")) if frame.event is not None]
    [unheard] = knowledge.unheard(told)
    assert "a-3" in unheard
