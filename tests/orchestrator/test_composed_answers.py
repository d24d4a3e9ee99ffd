"""Answers that no model made of their results."""

from services.orchestrator.answering import composed
from services.orchestrator.attempts import LONGEST_RESULT
from services.orchestrator.model import Failure
from services.orchestrator.ports import Result

MESSAGE_BYTES = 16 * 1024 * 1024
LOST = ("Taxes", Failure("MODEL_FAILED", "the model said nothing"))


def results(count: int) -> list[Result]:
    return [Result(f"t{number}", f"Part {number}", "𝄞" * LONGEST_RESULT) for number in range(count)]


def test_twelve_results_of_full_length_are_whole() -> None:
    answer = composed(results(12), [LOST], "the model is away")
    assert answer.count("𝄞") == 12 * LONGEST_RESULT


def test_more_than_a_message_takes_is_cut_and_its_end_still_says_why() -> None:
    answer = composed(results(50), [LOST], "the model is away")
    assert "… (cut: 2,500,000 of 10," in answer
    assert "- Taxes: the model said nothing" in answer
    assert answer.endswith("These results could not be made one answer: the model is away.")
    assert len(answer.encode()) < MESSAGE_BYTES
