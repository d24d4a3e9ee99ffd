"""The transcript of a task: what the model is shown of them, and that a pause keeps all."""

import uuid

from services.agents.models import Message, WantedCall
from services.agents.store import Claim
from services.agents.transcript import Transcript

RUN = str(uuid.uuid4())


def claim(attempt: int = 1, epoch: int = 1) -> Claim:
    return Claim(RUN, "answer", epoch, attempt)


READ, WRITE = WantedCall("call_0", "read_file", '{"path": "a"}'), WantedCall("call_1", "write_file", "{")


def test_turn_that_is_over_is_what_was_wanted_and_a_result_for_each_in_that_order() -> None:
    transcript = Transcript()
    transcript.open("Let me look.", [READ, WRITE], claim())
    assert transcript.messages == ()
    transcript.calls[1].result = "refused"
    transcript.calls[0].result = "a file"
    transcript.close()
    assert transcript.messages == (
        Message("assistant", "Let me look.", calls=(READ, WRITE)),
        Message("tool", "a file", call_id="call_0"),
        Message("tool", "refused", call_id="call_1"),
    )
    assert (transcript.calls, transcript.steps) == ([], 1)


def test_turn_takes_so_much_and_what_is_beyond_that_is_refused_and_not_kept() -> None:
    transcript, large = Transcript(), WantedCall("call_0", "write_file", "x" * 250_000)
    transcript.open("", [large, large, READ], claim())
    assert [call.result is not None for call in transcript.calls] == [False, True, False]
    assert "Make it in another turn" in str(transcript.calls[1].result)
    assert len(transcript.dump()) < 300_000


def test_transcript_keeps_no_more_than_a_prompt_has_room_for() -> None:
    transcript, large = Transcript(), WantedCall("call_0", "write_file", "x" * 100_000)
    for _ in range(25):
        transcript.open("", [large], claim())
        transcript.calls[0].result = "y" * 12_000
        transcript.close()
    assert len(transcript.messages) == 50
    assert len(transcript.dump()) < 400_000


def test_what_is_said_in_several_turns_is_one_text_of_paragraphs() -> None:
    transcript = Transcript()
    assert transcript.say("Ä", first=True) == (0, "Ä")
    assert transcript.say("b", first=False) == (1, "b")
    assert transcript.say("c", first=True) == (2, "\n\nc")
    assert transcript.said == "Äb\n\nc"


def test_pause_keeps_everything() -> None:
    transcript = Transcript()
    transcript.say("Once.", first=True)
    transcript.open("Once.", [READ], claim())
    transcript.calls[0].result = "é 𝄞\u2028"
    transcript.close()
    transcript.open("", [WRITE, READ], claim())
    transcript.calls[1].result = "done"
    again = Transcript.load(transcript.dump())
    assert again == transcript
    assert again.dump() == transcript.dump()


def test_task_that_never_paused_has_said_and_done_nothing() -> None:
    assert Transcript.load("") == Transcript()


def test_no_call_ever_has_the_id_of_another() -> None:
    ids: list[str] = []
    for each in (
        claim(),
        claim(attempt=2),
        claim(epoch=2),
        Claim(RUN, "other", 1, 1),
        Claim(str(uuid.uuid4()), "answer", 1, 1),
    ):
        transcript = Transcript()
        transcript.open("", [READ, READ], each)
        for call in transcript.calls:
            call.result = ""
        transcript.close()
        transcript.open("", [READ], each)
        ids += transcript.known
    assert len(set(ids)) == len(ids) == 15


def test_calls_of_a_later_attempt_are_new_ones() -> None:
    transcript = Transcript()
    transcript.open("", [READ], claim())
    transcript.calls[0].result = ""
    transcript.close()
    later = Transcript.load(transcript.dump())
    later.open("", [READ], claim(attempt=2))
    assert len(set(later.known)) == 2
