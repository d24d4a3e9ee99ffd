"""What one client knows of a session: rebuilt from its frames as the contract says, and held against what is true."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.e2e.events import Answers, Event, Frame
from tests.e2e.torture.published import BUFFER_EVENTS, Place, Published, words_of

TEXT = ("message_delta", "message_snapshot")


@dataclass(frozen=True)
class Wanted:
    """What a client asks for; empty types are all."""

    types: tuple[str, ...] = ()
    run_id: str | None = None

    @property
    def all(self) -> bool:
        return not self.types and self.run_id is None

    def wants(self, event: Event) -> bool:
        return (not self.types or event["type"] in self.types) and self.run_id in (None, event["run_id"])


@dataclass(frozen=True)
class Short:
    """A text that ended before it was whole, on a connection that had begun it. Times are monotonic."""

    connected_at: float
    told_at: float
    complaint: str


@dataclass
class Span:
    """A stretch of the stream that a client has whole: after `begin`, up to `passed`, without a resync between."""

    wanted: Wanted
    begin: Place
    passed: Place
    came: list[Place] = field(default_factory=list)


@dataclass
class Knowledge:
    """What a client has, across all its connections. Whatever breaks the contract is in `wrong`."""

    name: str
    published: Published
    wanted: Wanted = field(default_factory=Wanted)
    spans: list[Span] = field(default_factory=list)
    last_id: str | None = None
    answers: Answers = field(default_factory=Answers)
    messages: dict[str, str] = field(default_factory=dict)
    """Contents that an event or a reload told whole, by the message's id."""
    over: dict[str, str] = field(default_factory=dict)
    """The runs that are known to be over, and what told so: the type of an event, or `reload`."""
    whole_by_deltas: set[str] = field(default_factory=set)
    """Messages whose text was whole before an event told it."""
    short: list[Short] = field(default_factory=list)
    """Texts that only the event completed: deltas may be lost with a process, and with nothing else."""
    begun_anew: set[str] = field(default_factory=set)
    """Messages of whose text an earlier attempt's beginning was seen, and then a later one's."""
    resyncs: list[str] = field(default_factory=list)
    undue: int = 0
    repeated: int = 0
    out_of_order: int = 0
    received: int = 0
    ended: Event | None = None
    """The payload of `stream_ended`, on this connection."""
    wrong: list[str] = field(default_factory=list)
    _began: bool = False
    _connected_at: float = 0.0
    _text_came: set[str] = field(default_factory=set)
    """Messages whose text came on this connection."""

    def connected(self) -> None:
        """A new connection, which goes on where the one before ended."""
        self.ended, self._began = None, False
        self._connected_at = time.monotonic()
        self._text_came.clear()

    def ask_for(self, wanted: Wanted) -> None:
        """From here on something else is asked for, from the same place on."""
        self.wanted = wanted
        if self.spans:
            passed = self.spans[-1].passed
            self.spans.append(Span(wanted, passed, passed))

    def take(self, frame: Frame) -> bool:
        """Take what came. True asks to reload: what was missed is gone, and `last_id` is where to go on from."""
        event = frame.event
        type = event["type"] if event is not None else None
        if self.ended is not None:
            self._wrong(f"something came after stream_ended: {frame}")
        if event is not None and type == "resync_required":
            self._resync(event["payload"])
            return True
        if event is not None and type == "stream_ended":
            self.ended = event["payload"]
            return False
        if frame.id is not None:
            self._place(Place.of(frame.id), None if type in (None, "heartbeat") else event)
        elif event is not None:
            self._placeless(event)
        if event is not None and type != "heartbeat":
            self._learn(event)
        return False

    def _place(self, place: Place, event: Event | None) -> None:
        self.published.head(place)
        if not self._began and event is not None:
            self._wrong(f"an event came before the cursor: {event}")
        self._began = True
        if not self.spans:
            self.spans.append(Span(self.wanted, place, place))
        span = self.spans[-1]
        self.last_id = str(place)
        if event is not None:
            self.received += 1
            self.published.tell(place, event, self.name)
            if place.epoch != span.passed.epoch or place.seq <= span.passed.seq:
                again = place in span.came
                self.repeated += again
                self.out_of_order += not again
                self._wrong(f"{place} came {'twice' if again else f'after {span.passed}'}: {event}")
            if not span.wanted.wants(event):
                self._wrong(f"{place} was not asked for by {span.wanted}: {event}")
            span.came.append(place)
        elif place.epoch != span.passed.epoch or place.seq < span.passed.seq:
            self._wrong(f"the cursor went from {span.passed} to {place} without a resync")
        span.passed = place

    def _placeless(self, event: Event) -> None:
        if not self._began:
            self._wrong(f"something came before the cursor: {event}")
        if event["type"] not in (*TEXT, "heartbeat"):
            self._wrong(f"an event without an id came: {event}")

    def _resync(self, told: Event) -> None:
        reason, latest = told["reason"], Place.of(told["latest_id"])
        self.resyncs.append(reason)
        self.published.head(latest)
        if not self.spans:
            self._undue(f"resync_required {told} for a client that had nothing")
        else:
            last = self.spans[-1].passed
            if last.epoch != latest.epoch:
                due = reason == "epoch_changed"
            else:
                due = reason == "buffer_exceeded" and latest.seq - last.seq > BUFFER_EVENTS
            if not due:
                self._undue(f"resync_required {told} for a client that had come to {last}")
        self.spans.append(Span(self.wanted, latest, latest))
        self.last_id = str(latest)

    def _undue(self, complaint: str) -> None:
        self.undue += 1
        self._wrong(complaint)

    def _learn(self, event: Event) -> None:
        payload = event["payload"]
        if event["type"] in TEXT:
            self._text(event)
            return
        if (message := payload.get("message")) is not None:
            self._whole(message)
        if event["final"]:
            self.over[event["run_id"]] = event["type"]

    def _text(self, event: Event) -> None:
        message, generation = event["payload"]["message_id"], event["payload"]["generation"]
        if self.answers.texts.get(message) and generation > self.answers.generation(message) > 0:
            self.begun_anew.add(message)
        self._text_came.add(message)
        try:
            self.answers.take(event)
        except AssertionError as error:
            self._wrong(str(error))

    def _whole(self, message: Event) -> None:
        id, content = message["id"], message["content"]
        if self.messages.setdefault(id, content) != content:
            self._wrong(f"message {id} is {content!r}, and was {self.messages[id]!r}")
        text = self.answers.texts.get(id)
        if text is None:
            return
        if text == content:
            self.whole_by_deltas.add(id)
        elif content.startswith(text) and id in self._text_came:
            complaint = f"{self.name}, at {self.last_id}: message {id} is {content!r}, and its text came as {text!r}"
            self.short.append(Short(self._connected_at, time.monotonic(), complaint))
        elif not content.startswith(text):
            self._wrong(f"message {id} is {content!r}, and its text came as {text!r}")

    def reload(self, runs: list[Event], messages: list[Event]) -> None:
        """What HTTP tells of the session."""
        for run in runs:
            if run["state"] in ("succeeded", "failed", "cancelled"):
                self.over.setdefault(run["id"], "reload")
        # Its text may still be on its way.
        self._text_came.clear()
        for message in messages:
            self._whole(message)

    def missing(self) -> Iterator[str]:
        """What should have come and did not, of each span, by what is known to have been published."""
        for span in self.spans:
            came = set(span.came)
            if span.wanted.all:
                due = {Place(span.begin.epoch, seq) for seq in range(span.begin.seq + 1, span.passed.seq + 1)}
            else:
                known = self.published.between(span.begin.epoch, span.begin.seq, span.passed.seq)
                due = {place for place, event in known if span.wanted.wants(event)}
            for place in sorted(due - came, key=lambda each: each.seq):
                stands = self.published.events.get(place)
                yield f"{place} never came, between {span.begin} and {span.passed}: {stands}"

    def unheard(self, timeline: Sequence[Event]) -> Iterator[str]:
        """What of a run, by its timeline, this one should have been told and was not. Nothing: see RunKnowledge."""
        yield from ()

    def _wrong(self, complaint: str) -> None:
        self.wrong.append(f"{self.name}, which had come to {self.last_id}: {complaint}")


@dataclass
class RunKnowledge(Knowledge):
    """What a sender knows of the one run that its message became, which is told live or, when it is over, again."""

    _came: dict[Place, str] = field(default_factory=dict)
    _words: set[str] = field(default_factory=set)
    _epochs: set[str] = field(default_factory=set)

    def _place(self, place: Place, event: Event | None) -> None:
        self._began = True
        self._epochs.add(place.epoch)
        self.published.head(place)
        if event is not None:
            if place in self._came:
                self.repeated += 1
                self._wrong(f"{place} came twice: {event}")
            elif any(each.epoch == place.epoch and each.seq > place.seq for each in self._came):
                self.out_of_order += 1
                self._wrong(f"{place} came late: {event}")
            self.received += 1
            self.published.tell(place, event, self.name)
            self._came[place] = words_of(event)
            self._hear(event)
        self.last_id = str(place)

    def _placeless(self, event: Event) -> None:
        # What is told again of a run that is over has a cursor without an id, and events whose ids are not recorded.
        self._began = True
        if event["type"] not in (*TEXT, "heartbeat"):
            self._hear(event)

    def _hear(self, event: Event) -> None:
        words = words_of(event)
        if words in self._words and not self.resyncs:
            self.repeated += 1
            self._wrong(f"came twice: {event}")
        self._words.add(words)

    def _resync(self, told: Event) -> None:
        self.resyncs.append(told["reason"])
        self.last_id = told["latest_id"]
        if self._came and Place.of(told["latest_id"]).epoch == [*self._came][-1].epoch:
            self._undue(f"resync_required {told} after {[*self._came][-1]}")
        # It reloads: what is told from here on may be what it had before, of a run that is over from its first event.
        self._came.clear()

    def missing(self) -> Iterator[str]:
        return iter(())

    def unheard(self, timeline: Sequence[Event]) -> Iterator[str]:
        """A resync tells of what is missing; nothing does where the epoch was lost before this one had a cursor."""
        due = [] if self.resyncs else [event for event in timeline if Place.of(event["id"]).epoch in self._epochs]
        yield from (f"never told of {event}" for event in due if words_of(event) not in self._words)
