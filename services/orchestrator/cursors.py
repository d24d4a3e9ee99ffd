"""Where a reader stands in the events of a run, by the ids of their session's stream that it was told."""

from collections.abc import Sequence

from services.runtime.event_ids import EventId


class Reached:
    """How far a reader of a run has come: the furthest place of each epoch, however many ids it was told."""

    def __init__(self, after: str) -> None:
        """The reader was told all up to the id `after`; nothing, if that is no id."""
        self._furthest: dict[str, EventId] = {}
        self.told(after)

    def told(self, id: str) -> None:
        """The reader was told all up to this id, too."""
        place = EventId.parse(id)
        if place is not None:
            # Taken out first: the epoch that was told of last is the last one.
            before = self._furthest.pop(place.epoch, place)
            self._furthest[place.epoch] = max(before, place, key=lambda each: each.seq)

    @property
    def places(self) -> list[EventId]:
        """One of each epoch, of which the latest is first."""
        return list(reversed(self._furthest.values()))

    def among(self, ids: Sequence[str | None]) -> tuple[int, EventId | None]:
        """How many of a run's events, of which these are the ids, it has seen; and the latest place that says so."""
        places = [None if id is None else EventId.parse(id) for id in ids]
        counted = [(_seen(places, cursor), cursor) for cursor in self.places]
        return max(counted, key=lambda each: each[0], default=(0, None))


def _seen(places: Sequence[EventId | None], cursor: EventId) -> int:
    """How many of the events at these places lie at or before the cursor.

    The cursor need not be the place of any of them: heartbeats move it past what else happens in the session. None of
    them counts as seen if none has its place in the cursor's epoch: to tell again is better than not to tell.
    """
    seen, within = 0, False
    for index, place in enumerate(places):
        if place is None or place.epoch != cursor.epoch:
            continue
        if place.seq > cursor.seq:
            # What stands before the first one of this epoch was told in an earlier epoch.
            return seen if within else index
        seen, within = index + 1, True
    return seen
