"""The turns of a task: what the model is shown of them, and that a pause keeps all."""

import uuid

from services.agents.models import Message, WantedCall
from services.agents.store import Claim
from services.agents.turns import Turns

RUN = str(uuid.uuid4())


def claim(attempt: int = 1, epoch: int = 1) -> Claim:
    return Claim(RUN, "answer", epoch, attempt)


READ, WRITE = WantedCall("call_0", "read_file", '{"path": "a"}'), WantedCall("call_1", "write_file", "{")


def test_turn_that_is_over_is_what_was_wanted_and_a_result_for_each_in_that_order() -> None:
    turns = Turns()
    turns.open("Let me look.", [READ, WRITE], claim())
    assert turns.messages == ()
    turns.calls[1].result = "refused"
    turns.calls[0].result = "a file"
    turns.close()
    assert turns.messages == (
        Message("assistant", "Let me look.", calls=(READ, WRITE)),
        Message("tool", "a file", call_id="call_0"),
        Message("tool", "refused", call_id="call_1"),
    )
    assert (turns.calls, turns.steps) == ([], 1)


def test_what_is_said_in_several_turns_is_one_text_of_paragraphs() -> None:
    turns = Turns()
    assert turns.say("Ä", first=True) == (0, "Ä")
    assert turns.say("b", first=False) == (1, "b")
    assert turns.say("c", first=True) == (2, "\n\nc")
    assert turns.said == "Äb\n\nc"


def test_pause_keeps_everything() -> None:
    turns = Turns()
    turns.say("Once.", first=True)
    turns.open("Once.", [READ], claim())
    turns.calls[0].result = "é \ud83d"
    turns.close()
    turns.open("", [WRITE, READ], claim())
    turns.calls[1].result = "done"
    again = Turns.load(turns.dump())
    assert again == turns
    assert again.dump() == turns.dump()


def test_task_that_never_paused_has_said_and_done_nothing() -> None:
    assert Turns.load("") == Turns()


def test_no_call_ever_has_the_id_of_another() -> None:
    ids: list[str] = []
    for each in (
        claim(),
        claim(attempt=2),
        claim(epoch=2),
        Claim(RUN, "other", 1, 1),
        Claim(str(uuid.uuid4()), "answer", 1, 1),
    ):
        turns = Turns()
        turns.open("", [READ, READ], each)
        for call in turns.calls:
            call.result = ""
        turns.close()
        turns.open("", [READ], each)
        ids += turns.known
    assert len(set(ids)) == len(ids) == 15


def test_calls_of_a_later_attempt_are_new_ones() -> None:
    turns = Turns()
    turns.open("", [READ], claim())
    turns.calls[0].result = ""
    turns.close()
    later = Turns.load(turns.dump())
    later.open("", [READ], claim(attempt=2))
    assert len(set(later.known)) == 2
