"""Where a reader stands in a run's events that are told again."""

import pytest

from services.orchestrator.cursors import Reached

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
    assert Reached(after).among(IDS)[0] == seen


def test_no_event_is_no_cursor_too_far() -> None:
    assert Reached("a-1").among([])[0] == 0


def test_of_each_epoch_the_furthest_place_is_kept_and_nothing_else_however_long_a_run_is_watched() -> None:
    reached = Reached("start")
    for id in [f"a-{n}" for n in range(1000)] + [f"b-{n}" for n in range(8)]:
        reached.told(id)
    assert [str(place) for place in reached.places] == ["b-7", "a-999"]


@pytest.mark.parametrize(
    ("told", "seen", "says"),
    [
        (["a-4", "b-2"], 3, "b-2"),
        (["b-1", "a-6"], 2, "a-6"),  # Both say so: the one that was told last goes on.
        (["a-6", "b-1"], 2, "b-1"),
        (["b-9", "c-1"], 4, "b-9"),  # Nothing has its place in the new epoch yet: that says nothing of what was seen.
        (["b-9", "b-2"], 4, "b-9"),  # The store was set back: what was told before is not told twice.
    ],
)
def test_what_any_of_the_epochs_told_is_seen(told: list[str], seen: int, says: str) -> None:
    reached = Reached("start")
    for id in told:
        reached.told(id)
    number, place = reached.among(IDS)
    assert (number, str(place)) == (seen, says)
