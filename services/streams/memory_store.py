"""`EventStore` in this process: for one replica, and gone with it."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from services.runtime.event_ids import EventId
from services.runtime.ownership import OwnerGuard
from services.streams.errors import RunSuperseded, SessionNotFound
from services.streams.store import (
    BUFFER_EVENTS,
    BUFFER_SECONDS,
    REMEMBERED_RUNS,
    SESSION_SECONDS,
    Content,
    Listener,
    NewEvent,
    RunKey,
    SessionClosed,
    SessionKey,
    StoredEvent,
    Text,
    View,
)
from services.streams.text import Partial

_OWN = OwnerGuard("session_events", user="key.user_id", project="key.project_id")
_NO_LISTENERS: Mapping[object, tuple[SessionKey, Listener]] = {}


class _Run:
    """What is remembered of a run: its latest epoch, the seq that each of its state events got, and that of its end."""

    __slots__ = ("epoch", "final_seq", "seqs")

    def __init__(self) -> None:
        self.epoch = 0
        self.seqs: dict[int, int] = {}
        self.final_seq: int | None = None


class _Session:
    def __init__(self, key: SessionKey, epoch: str) -> None:
        self.key = key
        self.head = EventId(epoch, 0)
        # Counts what has an id and what has none, so that a reader can tell which deltas its view contains.
        self.position = 0
        self.buffer: deque[StoredEvent] = deque(maxlen=BUFFER_EVENTS)
        self.partials: dict[str, Partial] = {}
        self.runs: OrderedDict[str, _Run] = OrderedDict()

    def run(self, key: RunKey) -> _Run:
        run = self.runs.get(key.run_id)
        if run is None:
            run = self.runs[key.run_id] = _Run()
            if len(self.runs) > REMEMBERED_RUNS:
                self.runs.popitem(last=False)
        else:
            self.runs.move_to_end(key.run_id)
        run.epoch = max(run.epoch, key.epoch)
        return run


class MemoryEventStore:
    """No method waits in the middle, so on one event loop each is atomic: that is the lock.

    What is read, and what listeners hear, passes the owner's guard.
    """

    at_once = True

    def __init__(self, clock: Callable[[], float], new_epoch: Callable[[], str]) -> None:
        """`clock` gives Unix time in seconds; `new_epoch` gives short names, `[0-9a-z]+`, none of them twice."""
        self._clock = clock
        self._new_epoch = new_epoch
        # By the block that listens: two may pass equal listeners.
        self._listeners: dict[SessionKey, dict[object, tuple[SessionKey, Listener]]] = {}
        # Each of these is in the order in which its entries expire.
        self._sessions: OrderedDict[SessionKey, tuple[float, _Session]] = OrderedDict()
        self._buffered: OrderedDict[SessionKey, float] = OrderedDict()
        self._closed: OrderedDict[SessionKey, float] = OrderedDict()

    async def open_run(self, session: SessionKey, run: RunKey) -> None:
        self._use(session).run(run)

    async def publish(self, session: SessionKey, run: RunKey, event: NewEvent, n: int | None) -> EventId | None:
        state = self._use(session)
        known = state.run(run)
        if run.epoch < known.epoch:
            if n is None:
                return None
            raise RunSuperseded(run.run_id)
        if n is not None and n in known.seqs:
            return EventId(state.head.epoch, known.seqs[n])
        state.head = EventId(state.head.epoch, state.head.seq + 1)
        if n is not None:
            known.seqs[n] = state.head.seq
        if event.final:
            known.final_seq = state.head.seq
            state.partials = {id: partial for id, partial in state.partials.items() if partial.run_id != run.run_id}
        stored = StoredEvent(state.head, run.run_id, event.type, event.final, event.payload)
        state.buffer.append(stored)
        self._buffered[session] = self._clock() + BUFFER_SECONDS
        self._buffered.move_to_end(session)
        self._tell(session, state, stored)
        return stored.id

    async def publish_text(self, session: SessionKey, run: RunKey, text: Text) -> None:
        self._publish_text(session, run, text)

    def publish_text_now(self, session: SessionKey, run: RunKey, text: Text) -> bool:
        try:
            self._publish_text(session, run, text)
        except SessionNotFound:
            return False
        return True

    def _publish_text(self, session: SessionKey, run: RunKey, text: Text) -> None:
        state = self._use(session)
        known = state.run(run)
        if run.epoch < known.epoch or known.final_seq is not None:
            return
        partial = state.partials.get(text.message_id)
        change: Text | None
        if partial is not None and text.generation == partial.generation:
            change = partial.apply(text)
        elif partial is None or text.generation > partial.generation:
            change = self._begin(state, text)
        else:
            change = None
        if change is not None:
            self._tell(session, state, change)

    async def read(self, session: SessionKey, run_id: str | None = None) -> View:
        state = self._use(session)
        run = state.runs.get(run_id) if run_id is not None else None
        return View(
            head=state.head,
            buffer=tuple(state.buffer),
            partials=tuple(partial.snapshot() for partial in state.partials.values()),
            tail=state.position,
            final_seq=run.final_seq if run else None,
        )

    @contextmanager
    def listen(self, session: SessionKey, listener: Listener) -> Iterator[None]:
        block = object()
        # First: a listener keeps its session alive, but does not bring it back.
        self._expire(self._clock())
        self._listeners.setdefault(session, {})[block] = (session, listener)
        try:
            yield
        finally:
            listeners = self._listeners[session]
            del listeners[block]
            if not listeners:
                del self._listeners[session]
                if session in self._sessions:
                    self._keep(session, self._sessions[session][1], self._clock())

    async def close(self, session: SessionKey) -> None:
        entry = self._sessions.pop(session, None)
        self._buffered.pop(session, None)
        self._closed[session] = self._clock() + SESSION_SECONDS
        self._closed.move_to_end(session)
        position = entry[1].position + 1 if entry else 1
        for _, listener in self._listeners.get(session, _NO_LISTENERS).values():
            listener(position, SessionClosed())

    def _use(self, key: SessionKey) -> _Session:
        now = self._clock()
        self._expire(now)
        if key in self._closed:
            raise SessionNotFound(key.session_id)
        entry = self._sessions.get(key)
        if entry is not None and _OWN.passes(entry[1], key.user_id, key.project_id):
            state = entry[1]
        else:
            state = _Session(key, self._new_epoch())
        self._keep(key, state, now)
        return state

    def _keep(self, key: SessionKey, state: _Session, now: float) -> None:
        self._sessions[key] = (now + SESSION_SECONDS, state)
        self._sessions.move_to_end(key)

    def _expire(self, now: float) -> None:
        """Drop what is due. Every call does its share, so nobody has to sweep."""
        while self._buffered and (first := next(iter(self._buffered.items())))[1] <= now:
            del self._buffered[first[0]]
            self._sessions[first[0]][1].buffer.clear()
        while self._closed and next(iter(self._closed.values())) <= now:
            self._closed.popitem(last=False)
        while self._sessions and (oldest := next(iter(self._sessions.items())))[1][0] <= now:
            key, (_, state) = oldest
            if key in self._listeners:
                self._keep(key, state, now)
            else:
                del self._sessions[key]

    def _begin(self, state: _Session, text: Text) -> Text | None:
        partial = Partial.begin(text)
        if partial is None:
            return None
        state.partials[text.message_id] = partial
        return text

    def _tell(self, session: SessionKey, state: _Session, content: Content) -> None:
        state.position += 1
        for of_listener, listener in self._listeners.get(session, _NO_LISTENERS).values():
            if _OWN.passes(state, of_listener.user_id, of_listener.project_id):
                listener(state.position, content)
