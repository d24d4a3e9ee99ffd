"""Where a reader stands in a run's events that are told again."""

import pytest

from services.orchestrator.cursors import seen_of

IDS = ["a-4", "a-6", "b-2", "b-9", None]


@pytest.mark.parametrize(
    ("after", "seen"),
    [
        ("a-4", 1),
        ("a-5", 1),  # A heartbeat's cursor: another run's event stands there.
        ("a-3", 0),
        ("a-6", 2),
        ("a-60", 2),
        ("b-0", 2),  # After a resync: what was told in the earlier epoch was reloaded.
        ("b-2", 3),
        ("b-8", 3),
        ("b-9", 4),
        ("b-99", 4),
        ("c-1", 0),
        ("start", 0),
        ("a-4-4", 0),
    ],
)
def test_events_up_to_the_cursor_are_seen_whether_or_not_it_is_one_of_theirs(after: str, seen: int) -> None:
    assert seen_of(IDS, after) == seen


def test_no_event_is_no_cursor_too_far() -> None:
    assert seen_of([], "a-1") == 0
