"""What the process of an EdgeMemoryStore does with requests, one after the other."""

import os
from collections.abc import Callable
from pathlib import Path

from services.agents.memory.edge.folder import EdgeFolder
from services.agents.memory.edge.optimisation import Copied, Ended, Optimisation, Replay
from services.agents.memory.edge.protocol import Answer, EdgeLimits, Report, Request
from services.agents.memory.edge.shard import WRITES, EmbeddingMissing, Shard

Event = Request | Copied | Ended | Replay

_FINDS_NOTHING: dict[str, object] = {
    **dict.fromkeys(("get", "nearest", "matching", "by_time", "by_id", "lacking"), ()),
    **dict.fromkeys(("count", "delete"), 0),
}
"""What an operation answers where there is no collection."""
_DOES_NOTHING = ("change", "put_vectors", "begin_migration", "end_migration", "optimize")
"""Operations that have nothing to do where there is no collection."""


class EdgeServer:
    """Answers requests by `send`. `later` puts an event at the end of the queue that `handle` is fed from."""

    def __init__(
        self,
        folder: Path,
        limits: EdgeLimits,
        send: Callable[[Answer | Report], None],
        later: Callable[[Event], None],
    ) -> None:
        self._folder = EdgeFolder(folder, limits)
        self._limits = limits
        self._send = send
        self._later = later
        self._optimisation: Optimisation | None = None
        self._to_optimize: dict[str, list[int]] = {}
        """Collections that are or will be optimised, and the requests that wait for it."""
        self._tried: dict[str, int] = {}
        """How many points collections had when their optimisation failed."""

    def handle(self, event: Event) -> None:
        """Do what the event asks for."""
        match event:
            case Request():
                self._answer(event)
            case Copied(of=optimisation) if optimisation is self._optimisation:
                self._go_on_writing(optimisation)
            case Ended(of=optimisation, failure=failure) if optimisation is self._optimisation:
                self._go_on_writing(optimisation)
                if failure is None:
                    self._replay(optimisation)
                else:
                    self._fail(optimisation, failure)
            case Replay(of=optimisation) if optimisation is self._optimisation:
                self._replay(optimisation)
        self._begin_next()

    def kill_optimiser(self) -> None:
        """End the optimiser, if there is one: this process is about to end. Any thread may call this."""
        if (optimisation := self._optimisation) is not None:
            optimisation.kill()

    def close(self) -> None:
        """Bring everything to the files and let go of it."""
        if self._optimisation is not None:
            self._optimisation.discard()
            self._optimisation = None
        self._to_optimize.clear()
        self._folder.close()

    def _answer(self, request: Request) -> None:
        optimisation = self._of(request.collection)
        if optimisation is not None and optimisation.copying and request.operation in WRITES:
            optimisation.held.append(request)
            return
        try:
            answer = self._done(request)
        except EmbeddingMissing:
            answer = Answer(request.id, "missing")
        except Exception as error:
            # All that the engine ever raises.
            answer = Answer(request.id, "failed", f"{type(error).__name__}: {error}")
        if answer is not None:
            self._send(answer)

    def _done(self, request: Request) -> Answer | None:
        name = request.collection
        match request.operation:
            case "create":
                self._folder.create(name, *request.arguments)
                return Answer(request.id, "done")
            case "drop":
                self._give_up(name, "the collection was dropped")
                self._tried.pop(name, None)
                self._folder.drop(name)
                return Answer(request.id, "done")
        shard = self._folder.shard(name)
        if shard is None:
            if request.operation in _FINDS_NOTHING:
                return Answer(request.id, "done", _FINDS_NOTHING[request.operation])
            return Answer(request.id, "done" if request.operation in _DOES_NOTHING else "missing")
        if request.operation == "optimize":
            self._to_optimize.setdefault(name, []).append(request.id)
            return None
        value = getattr(shard, request.operation)(*request.arguments)
        if request.operation in WRITES:
            self._written(request, shard)
        return Answer(request.id, "done", value)

    def _of(self, name: str) -> Optimisation | None:
        optimisation = self._optimisation
        return optimisation if optimisation is not None and optimisation.name == name else None

    # Optimising

    def _written(self, request: Request, shard: Shard) -> None:
        if (optimisation := self._of(request.collection)) is not None:
            optimisation.written.append(request)
        elif request.collection not in self._to_optimize and self._has_grown(request.collection, shard):
            self._to_optimize[request.collection] = []

    def _has_grown(self, name: str, shard: Shard) -> bool:
        before = max(shard.optimized_points, self._tried.get(name, 0))
        step = min(self._limits.optimize_growth * before, self._limits.optimize_from)
        return shard.points >= self._limits.optimize_from and shard.points >= before + step

    def _begin_next(self) -> None:
        while self._optimisation is None and self._to_optimize:
            name, shard = next(iter(self._to_optimize)), None
            try:
                shard = self._folder.shard(name)
                if shard is None:
                    self._tell_waiting(name, "done")
                    continue
                copy = self._folder.copy_of(shard)
                optimisation = Optimisation(name, shard, copy, self._limits, self._later)
                optimisation.start(os.getpid())
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
                self._tried[name] = shard.points if shard is not None else 0
                self._send(Report("warning", "memories not optimised", {"collection": name, "error": why}))
                self._tell_waiting(name, "failed", why)
            else:
                self._folder.kept_open = name
                self._optimisation = optimisation

    def _go_on_writing(self, optimisation: Optimisation) -> None:
        optimisation.copying = False
        held, optimisation.held = optimisation.held, []
        for request in held:
            self._answer(request)

    def _replay(self, optimisation: Optimisation) -> None:
        try:
            if not optimisation.replay():
                self._later(Replay(optimisation))
                return
            optimisation.finish()
            self._folder.replace(optimisation.name, optimisation.copy)
        except Exception as error:
            self._fail(optimisation, f"{type(error).__name__}: {error}")
            return
        self._send(Report("info", "memories optimised", {"collection": optimisation.name}))
        self._end(optimisation, "done")

    def _fail(self, optimisation: Optimisation, why: str) -> None:
        self._tried[optimisation.name] = optimisation.shard.points
        self._send(Report("warning", "memories not optimised", {"collection": optimisation.name, "error": why}))
        optimisation.discard()
        self._end(optimisation, "failed", why)

    def _give_up(self, name: str, why: str) -> None:
        optimisation = self._of(name)
        if optimisation is not None:
            optimisation.copying = False
            self._optimisation = None
            self._folder.kept_open = None
            optimisation.discard()
            self._go_on_writing(optimisation)
        self._tell_waiting(name, "failed", why)

    def _end(self, optimisation: Optimisation, outcome: str, why: str | None = None) -> None:
        self._optimisation = None
        self._folder.kept_open = None
        self._tell_waiting(optimisation.name, outcome, why)

    def _tell_waiting(self, name: str, outcome: str, why: str | None = None) -> None:
        for id in self._to_optimize.pop(name, []):
            self._send(Answer(id, "failed" if outcome == "failed" else "done", why))
