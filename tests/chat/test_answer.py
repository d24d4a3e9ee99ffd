"""An answer is put together from whatever of it comes, and shown once."""

from codelab.orchestrator.v1.event_pb2 import MessageDelta, MessageSnapshot

from services.chat.answer import Answer, Progress


def delta(generation: int, offset: int, text: str) -> MessageDelta:
    return MessageDelta(generation=generation, offset=offset, text=text)


def snapshot(generation: int, text: str) -> MessageSnapshot:
    return MessageSnapshot(generation=generation, text=text)


def test_deltas_are_appended_and_counted_in_code_points() -> None:
    answer = Answer()
    shown = [answer.take(delta(1, 0, "𝄞é")), answer.take(delta(1, 2, "中")), answer.complete("𝄞é中.")]
    assert shown == [Progress("𝄞é"), Progress("中"), Progress(".")]


def test_higher_generation_begins_again_and_a_lower_one_is_old_news() -> None:
    answer = Answer()
    answer.take(delta(1, 0, "first"))
    assert answer.take(delta(2, 0, "second")) == Progress("second", begins_again=True)
    assert answer.take(delta(1, 5, " more")) is None
    assert answer.take(snapshot(1, "first more")) is None
    assert answer.text == "second"


def test_same_beginning_of_a_higher_generation_is_not_shown_twice() -> None:
    answer = Answer()
    answer.take(delta(1, 0, "The parser"))
    assert answer.take(snapshot(2, "The parser reads")) == Progress(" reads")


def test_attempt_that_says_the_same_goes_on_where_the_last_one_was_left() -> None:
    answer = Answer()
    answer.take(delta(1, 0, "I look."))
    assert answer.take(delta(2, 0, "I ")) is None
    assert answer.take(delta(2, 2, "look.")) is None
    assert answer.take(delta(2, 7, " It is mended.")) == Progress(" It is mended.")
    assert answer.take(delta(3, 0, "I l")) is None
    assert answer.complete("I l") == Progress("I l", begins_again=True)


def test_gap_waits_for_the_snapshot_that_fills_it() -> None:
    answer = Answer()
    answer.take(delta(1, 0, "a"))
    assert answer.take(delta(1, 2, "c")) is None
    assert answer.take(snapshot(1, "abc")) == Progress("bc")


def test_what_comes_twice_is_shown_once() -> None:
    answer = Answer()
    answer.take(delta(1, 0, "abc"))
    assert answer.take(delta(1, 0, "abc")) is None
    assert answer.take(delta(1, 1, "bcd")) == Progress("d")


def test_stored_answer_has_the_last_word() -> None:
    answer = Answer()
    answer.take(delta(1, 0, "draft"))
    assert answer.complete("draft") is None
    assert answer.complete("final") == Progress("final", begins_again=True)
    assert Answer().complete("never streamed") == Progress("never streamed")
