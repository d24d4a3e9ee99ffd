"""What was published in a session, by its place in the stream: what is acknowledged, and what anybody was sent."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from codelab.orchestrator.v1 import event_pb2

from gateway.encode import Encoders
from tests.e2e.events import Event

BUFFER_EVENTS = 100


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event stands: `epoch-seq`."""

    epoch: str
    seq: int

    @classmethod
    def of(cls, id: str) -> "Place":
        epoch, _, seq = id.rpartition("-")
        return cls(epoch, int(seq))

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"


_encode = Encoders().of(event_pb2.Event.DESCRIPTOR)


def event_of(message: event_pb2.Event) -> Event:
    """The event as HTTP tells it."""
    told: Event = json.loads(orjson.dumps(_encode(message)))
    return told


def words_of(event: Mapping[str, Any]) -> str:
    """What the event says, apart from its place, as one text: what is equal is the same event."""
    return json.dumps(_without_absent({**event, "id": None}), sort_keys=True, ensure_ascii=False)


def _without_absent(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_absent(each) for name, each in value.items() if each is not None}
    return [_without_absent(each) for each in value] if isinstance(value, list) else value


@dataclass
class Published:
    """A session's stream as the test knows it. Whatever contradicts what is known is in `contradictions`."""

    events: dict[Place, Event] = field(default_factory=dict)
    acknowledged: dict[Place, str] = field(default_factory=dict)
    """Which run's which event the publisher was told stands there: `run n`."""
    heads: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """The highest seq of each epoch that anybody was told of; the epochs in the order in which they were heard of."""
    contradictions: list[str] = field(default_factory=list)
    _words: dict[Place, str] = field(default_factory=dict)
    _last_of_run: dict[str, tuple[int, Place]] = field(default_factory=dict)
    _acknowledged_as: dict[tuple[str, int, str], Place] = field(default_factory=dict)

    def head(self, place: Place) -> None:
        """Somebody was told that the stream has come so far."""
        self.heads[place.epoch] = max(self.heads[place.epoch], place.seq)

    def acknowledge(self, run_id: str, n: int, id: str, event: Event) -> None:
        """The publisher was told where the run's event stands."""
        place = Place.of(id)
        known = self._acknowledged_as.setdefault((run_id, n, place.epoch), place)
        if known != place:
            self.contradictions.append(f"event {n} of run {run_id} was given {known} and {place}")
        before, where = self._last_of_run.get(run_id, (0, place))
        if n > before:
            if where.epoch == place.epoch and before and where.seq >= place.seq:
                self.contradictions.append(f"events {before} and {n} of run {run_id} stand at {where} and {place}")
            self._last_of_run[run_id] = n, place
        self.acknowledged[place] = f"{run_id} {n}"
        self.tell(place, event, f"the publisher of run {run_id}")

    def tell(self, place: Place, event: Event, whom: str) -> None:
        """Somebody was sent, or sent, the event of this place."""
        words = words_of(event)
        self.head(place)
        self.events.setdefault(place, event)
        known = self._words.setdefault(place, words)
        if known != words:
            self.contradictions.append(f"{place} is {words} to {whom}, and to others {known}")

    def between(self, epoch: str, after: int, up_to: int) -> list[tuple[Place, Event]]:
        """What is known to stand there, in order."""
        places = [Place(epoch, seq) for seq in range(after + 1, up_to + 1)]
        return [(place, self.events[place]) for place in places if place in self.events]
