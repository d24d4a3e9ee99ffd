"""The process of an EdgeMemoryStore, seen from its parent: started when it is needed, and again when it has died."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

import structlog

from services.agents.errors import MemoryUnavailable
from services.agents.memory.edge.protocol import HEAD, Answer, EdgeLimits, Report, Request, framed, length_of, value_of
from services.agents.memory.store import CollectionMissing

log = structlog.get_logger()

_LASTING = frozenset({"optimize"})
"""Operations whose answer may take longer than anything else, with nothing said meanwhile."""
_SECONDS_TO_END = 5.0
"""How long a process that has closed its end may take to end."""


class EdgeChild:
    """The one process that owns the shards in a folder, whichever process that is by now.

    A request is given `deadline_seconds`; a process that answers none for so long is killed.
    """

    def __init__(self, folder: Path, limits: EdgeLimits, deadline_seconds: float) -> None:
        self._folder = folder
        self._limits = limits
        self._deadline_seconds = deadline_seconds
        self._starting = asyncio.Lock()
        self._running: _Running | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process, if one runs."""
        return self._running.process.pid if self._running is not None and not self._running.dead else None

    async def ask(self, operation: str, collection: str, *arguments: Any, deadline_seconds: float | None = None) -> Any:
        """Have an operation done and return its value. If the process dies meanwhile, another one is asked once more.

        Raise MemoryUnavailable or CollectionMissing.
        """
        for _ in range(2):
            running, heard = None, 0
            try:
                async with asyncio.timeout(deadline_seconds or self._deadline_seconds):
                    running = await self._started()
                    heard = running.heard
                    answer = await running.ask(operation, collection, arguments)
            except _Died:
                continue
            except OSError as error:
                # TimeoutError is one, and everything else is that no process can be started.
                log.error("memory process does not answer", operation=operation, error=type(error).__name__)
                # One that answers others is busy, and not stuck.
                if running is not None and running.heard == heard:
                    running.kill()
                break
            match answer.outcome:
                case "done":
                    return answer.value
                case "missing":
                    raise CollectionMissing
                case "failed":
                    log.error("memory engine failed", operation=operation, collection=collection, error=answer.value)
                    break
        raise MemoryUnavailable

    async def close(self) -> None:
        """Let it end in order, or kill it if it does not. What is asked later is refused."""
        self._closed = True
        async with self._starting:
            if self._running is not None:
                await self._running.close(self._deadline_seconds)
                self._running = None

    async def _started(self) -> "_Running":
        async with self._starting:
            if self._closed:
                raise MemoryUnavailable
            if self._running is not None and self._running.silent_seconds > self._deadline_seconds:
                # Whoever asked it has lost patience before its time, and nobody else would find out.
                log.error("memory process does not answer", pid=self._running.process.pid)
                self._running.kill()
            if self._running is not None and self._running.dead:
                code = await self._running.ended()
                # What a full disk does to whoever writes to a file that is mapped into memory.
                full = {"hint": "is the disk of the data folder full?"} if code == -signal.SIGBUS else {}
                log.warning("memory process ended", code=code, pid=self._running.process.pid, **full)
                self._running = None
            if self._running is None:
                self._running = await _start(self._folder, self._limits)
            return self._running


class _Died(Exception):
    """The process ended before it answered."""


async def _start(folder: Path, limits: EdgeLimits) -> "_Running":
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        # Not from the working directory, whatever that is.
        "-P",
        "-m",
        "services.agents.memory.edge.process",
        str(folder),
        str(os.getpid()),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        # Whoever stops the suite by Ctrl-C stops this process alone, which closes the other one in order.
        start_new_session=True,
    )
    running = _Running(process)
    running.write(limits)
    return running


class _Running:
    """A process that was started, and the requests that wait for its answers."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.dead = False
        self.heard = 0
        """How many frames came from it."""
        self._silent_since: float | None = None
        self._ids = count(1)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._unanswered: set[int] = set()
        self._tasks = [
            asyncio.create_task(self._read_answers(), name="memory answers"),
            asyncio.create_task(self._read_errors(), name="memory errors"),
        ]

    @property
    def silent_seconds(self) -> float:
        """How long nothing came from it although it was asked."""
        return 0.0 if self._silent_since is None else monotonic() - self._silent_since

    async def ask(self, operation: str, collection: str, arguments: tuple[Any, ...]) -> Answer:
        """Send a request and wait for its answer. Raise _Died."""
        if self.dead:
            raise _Died
        request = Request(next(self._ids), operation, collection, arguments)
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[request.id] = answered
        if operation not in _LASTING:
            self._unanswered.add(request.id)
            self._silent_since = self._silent_since or monotonic()
        try:
            # The whole frame at once: whoever is cancelled leaves no part of one.
            self.write(request)
            return await answered
        finally:
            self._waiting.pop(request.id, None)

    def write(self, value: Any) -> None:
        """Send a frame."""
        assert self.process.stdin is not None
        self.process.stdin.write(framed(value))

    def kill(self) -> None:
        """End the process."""
        self.dead = True
        if self.process.returncode is None:
            self.process.kill()

    async def ended(self) -> int:
        """Wait until nothing of the process is left, and return its exit code. It has said its last word."""
        await asyncio.wait(self._tasks)
        try:
            async with asyncio.timeout(_SECONDS_TO_END):
                return await self.process.wait()
        except TimeoutError:
            self.kill()
            return await self.process.wait()

    async def close(self, patience_seconds: float) -> None:
        """Have the process end in order, or kill it after a while."""
        try:
            async with asyncio.timeout(patience_seconds):
                await self.ask("close", "", ())
                await self.process.wait()
        except (TimeoutError, _Died) as error:
            log.warning("memory process did not end in order", pid=self.process.pid)
            if isinstance(error, TimeoutError):
                self.kill()
        finally:
            await self.ended()

    async def _read_answers(self) -> None:
        assert self.process.stdout is not None
        try:
            while True:
                head = await self.process.stdout.readexactly(HEAD)
                said = value_of(await self.process.stdout.readexactly(length_of(head)))
                self.heard += 1
                if isinstance(said, Answer):
                    self._unanswered.discard(said.id)
                self._silent_since = monotonic() if self._unanswered else None
                if isinstance(said, Report):
                    getattr(log, said.level)(said.event, **said.fields)
                elif (waiting := self._waiting.get(said.id)) is not None and not waiting.done():
                    waiting.set_result(said)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # It ended.
        finally:
            # Not killed: if it ends at this moment, its exit code would be lost.
            self.dead = True
            for each in self._waiting.values():
                if not each.done():
                    each.set_exception(_Died())

    async def _read_errors(self) -> None:
        assert self.process.stderr is not None
        while text := await self.process.stderr.read(8192):
            for line in text.decode(errors="replace").splitlines():
                if line.strip():
                    log.warning("memory process says", line=line)
