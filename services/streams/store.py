"""What the streams service needs of a backend: `EventStore`, and the values that pass through it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol

from services.runtime.event_ids import EventId

BUFFER_EVENTS = 100
BUFFER_SECONDS = 300.0
SESSION_SECONDS = 86_400.0
REMEMBERED_RUNS = 1_000

DELTA = "message_delta"
SNAPSHOT = "message_snapshot"


class SessionKey(NamedTuple):
    """A session and whose it is. The same session id under another owner is another, empty stream."""

    user_id: str
    project_id: str
    session_id: str


@dataclass(frozen=True, slots=True)
class RunKey:
    """Who publishes: a run, and the epoch of the process that owns it (+1 with every takeover)."""

    run_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to publish. `payload` is opaque here; `type` and `final` are what filters and run streams need of it."""

    type: str
    final: bool
    payload: bytes


@dataclass(slots=True, eq=False)
class StoredEvent:
    """An event that has its place."""

    id: EventId
    run_id: str
    type: str
    final: bool
    payload: bytes
    # What goes over the wire, made by the first subscriber that sends it and shared by the rest.
    frame: bytes | None = field(default=None, repr=False)


@dataclass(slots=True)
class TextDelta:
    """More of an answer. `offset` counts Unicode code points; `timestamp` is Unix time in seconds."""

    run_id: str
    message_id: str
    task_id: str | None
    agent_id: str | None
    generation: int
    offset: int
    text: str
    timestamp: float
    frame: bytes | None = field(default=None, repr=False, compare=False)

    type: ClassVar[str] = DELTA
    final: ClassVar[bool] = False


@dataclass(slots=True)
class TextSnapshot:
    """The whole of an answer so far; replaces what deltas built."""

    run_id: str
    message_id: str
    task_id: str | None
    agent_id: str | None
    generation: int
    text: str
    timestamp: float
    frame: bytes | None = field(default=None, repr=False, compare=False)

    type: ClassVar[str] = SNAPSHOT
    final: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """The session was deleted. Nothing follows."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Something may have happened that the listener does not hear of: it has to read again, and what it heard before
    counts no more. Positions may begin anew after this; what is heard from here on, beyond the tail of a view that is
    read from here on, is whole again."""


Text = TextDelta | TextSnapshot
Content = StoredEvent | TextDelta | TextSnapshot
Notice = Content | SessionClosed | Interrupted

# Called with each thing that happens in a session and its position: a number that only grows, but for Interrupted. It
# must neither wait nor raise: publishers never wait for readers.
Listener = Callable[[int, Notice], None]


@dataclass(frozen=True, slots=True)
class View:
    """A session's stream at one moment.

    `buffer` holds the last events, oldest first, without a hole up to `head`; `partials` the answers being written.
    `tail` is the position of the latest thing that is contained in this view: a listener drops what is not beyond it.
    `final_seq` is the place of the asked run's final event, if it has come.
    """

    head: EventId
    buffer: Sequence[StoredEvent]
    partials: Sequence[TextSnapshot]
    tail: int
    final_seq: int | None


class EventStore(Protocol):
    """The streams of all sessions.

    One place alone gives events their seq, appends them and trims, so that each of these calls is atomic. A buffer
    holds the last `BUFFER_EVENTS` events and is dropped `BUFFER_SECONDS` after the last of them. Epoch, seq, partial
    texts and what is known of its last `REMEMBERED_RUNS` runs are dropped `SESSION_SECONDS` after the session was last
    published to, read or listened to; its next use begins a new epoch. So a quiet spell longer than the buffer's life
    loses nothing: the head is still known. A backend that lost anything of that, or may have, begins new epochs.

    Every method but `listen` raises EventsUnavailable while the backend is out of reach, or when its answer is lost:
    then nobody knows whether it did what was asked. What comes again with its `n` is not told again.
    """

    @property
    def at_once(self) -> bool:
        """Whether `publish_text_now` ever does what it is asked."""

    async def open_run(self, session: SessionKey, run: RunKey) -> None:
        """From now on, what older epochs of the run publish is refused. An older epoch opening changes nothing.

        Raise SessionNotFound if the session was closed.
        """

    async def publish(self, session: SessionKey, run: RunKey, event: NewEvent, n: int | None) -> EventId | None:
        """Append the event, tell the listeners, return its id.

        With `n` it is a state event: if the run's `n` is known, nothing happens and the id it got is returned; if a
        later epoch of the run is known, raise RunSuperseded. Without `n` it is progress: of an older epoch it is
        dropped, and None returned. A final event drops the run's partial texts.

        Raise SessionNotFound if the session was closed.
        """

    async def publish_text(self, session: SessionKey, run: RunKey, text: Text) -> None:
        """Bring an answer's partial text forward and tell the listeners what changed.

        Listeners only hear what continues or replaces what they have: of a delta that overlaps the text, the part that
        is new; of a snapshot that continues it, a delta; of one that differs from it or begins another generation, the
        snapshot; of what they have already, nothing. A delta of a higher generation resets the text. Dropped are: what
        belongs to a lower generation, an older epoch or a finished run, and a delta that leaves a gap or contradicts
        the text, which the publisher's next snapshot repairs.

        Raise SessionNotFound if the session was closed.
        """

    def publish_text_now(self, session: SessionKey, run: RunKey, text: Text) -> bool:
        """As `publish_text`, where nothing has to be waited for. Returns whether it was done; never raises."""

    async def read(self, session: SessionKey, run_id: str | None = None) -> View:
        """The session's stream now; one that is not known begins here, with an empty buffer and seq 0.

        Who listens here has heard all that the view contains when it is returned.

        Raise SessionNotFound if the session was closed.
        """

    def listen(self, session: SessionKey, listener: Listener) -> AbstractContextManager[None]:
        """Call `listener` with all that happens in the session, in order of position, until the block ends.

        What happened before may be heard too. Where that cannot be kept, Interrupted is heard instead of what is
        missing, also while the backend is out of reach.
        """

    async def close(self, session: SessionKey) -> None:
        """Forget the session, and tell its listeners SessionClosed. For `SESSION_SECONDS` it cannot begin again, so
        that what is published late does not bring it back. Idempotent."""
