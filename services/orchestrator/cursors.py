"""Where a reader stands in the events of a run, by the last id of their session's stream that it was told."""

import re
from collections.abc import Sequence

_EVENT_ID = re.compile(r"([0-9a-z]{1,40})-([0-9]{1,15})", re.ASCII)


def seen_of(ids: Sequence[str | None], after: str) -> int:
    """How many of a run's events, of which these are the ids, lie at or before the cursor `after`.

    The cursor need not be the id of any of them: heartbeats move it past what else happens in the session. None of them
    counts as seen if none has its place in the cursor's epoch: to tell again is better than not to tell.
    """
    cursor = _place(after)
    if cursor is None:
        return 0
    seen, within = 0, False
    for index, place in enumerate(map(_place, ids)):
        if place is None or place[0] != cursor[0]:
            continue
        if place[1] > cursor[1]:
            # What stands before the first one of this epoch was told in an earlier epoch.
            return seen if within else index
        seen, within = index + 1, True
    return seen


def _place(id: str | None) -> tuple[str, int] | None:
    match = _EVENT_ID.fullmatch(id or "")
    return (match[1], int(match[2])) if match else None
