"""A command that runs: its process, what it prints, and its end, all by what the event loop is told of descriptors."""

import asyncio
import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from services.agents.sandbox.processes import kill_children

_CHUNK = 65_536
_KEPT_BEGINNING = 48_000
_KEPT_END = 16_000
_START_SECONDS = 10.0


class Running:
    """A bubblewrap, from its start to its end: it needs no task, and comes to its end when nobody waits.

    `arguments` are read by `--args`: whoever looks at its first process in the sandbox does not see them. Made in the
    thread of the event loop, since the kernel ends it with the thread that started it (`--die-with-parent`).
    """

    def __init__(
        self, before: Sequence[str], arguments: Sequence[str], launch: Sequence[str], handed: Sequence[int], most: int
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = self._loop.create_future()
        """The status of bubblewrap, which is that of the command, once nothing of it is left."""
        self.overflowing = asyncio.Event()
        """It has printed more than it may: what comes now is thrown away."""
        self.started = asyncio.Event()
        """It is known whether the command was started."""
        self.has_started = False
        self._most = most
        self._doomed = False
        self._beginning, self._end, self._printed = bytearray(), bytearray(), 0
        options = memory_file(b"".join(os.fsencode(each) + b"\0" for each in arguments))
        self._output, output = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._start, start = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(output, True)
        os.set_blocking(start, True)
        try:
            self._process = subprocess.Popen(
                [*before, "bwrap", "--args", str(options), "--", *launch],
                stdin=start,
                stdout=output,
                stderr=output,
                pass_fds=(options, *handed),
                # What its first process shows of an environment is this one.
                env={"PATH": os.environ.get("PATH", os.defpath)},
                cwd="/",
            )
        except BaseException:
            os.close(self._output)
            os.close(self._start)
            raise
        finally:
            for each in (options, output, start):
                os.close(each)
        self._exit = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._output, self._read)
        self._loop.add_reader(self._start, self._hear_of_start)
        self._loop.add_reader(self._exit, self._hear_of_end)
        self._patience = self._loop.call_later(_START_SECONDS, self._process.kill)

    @property
    def pid(self) -> int:
        """Of bubblewrap: everything else is below it."""
        return self._process.pid

    @property
    def printed(self) -> tuple[bytes, bytes, int]:
        """The beginning of what was printed, the end of it, and how many bytes are left out in between."""
        beginning, end = bytes(self._beginning), bytes(self._end)
        return beginning, end, self._printed - len(beginning) - len(end)

    def kill(self) -> None:
        """Kill it with everything that it has started; `ended` tells when it is done."""
        self._doomed = True
        # A start is waited for: between the making of the first process and its wish to die with bubblewrap, nothing
        # would end it.
        if self.started.is_set() and not self.ended.done():
            kill_children(self.pid)

    def _hear_of_start(self) -> None:
        # Nothing to read: it was ended before it said anything.
        with suppress(BlockingIOError):
            self.has_started = bool(os.read(self._start, 1))
        self._loop.remove_reader(self._start)
        os.close(self._start)
        self._patience.cancel()
        self.started.set()
        if self._doomed:
            self.kill()

    def _read(self) -> bool:
        """Take what is there; return whether there may be more."""
        try:
            chunk = os.read(self._output, _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self._loop.remove_reader(self._output)
            return False
        self._printed += len(chunk)
        room = _KEPT_BEGINNING - len(self._beginning)
        self._beginning += chunk[:room]
        self._end += chunk[room:] if room > 0 else chunk
        del self._end[:-_KEPT_END]
        if self._printed > self._most:
            self.overflowing.set()
        return True

    def _hear_of_end(self) -> None:
        # With the first process the kernel has ended all others: nobody is left who could write.
        status = self._process.wait()
        if not self.started.is_set():
            self._hear_of_start()
        while self._read():
            pass
        for each in (self._output, self._exit):
            self._loop.remove_reader(each)
            os.close(each)
        if not self.ended.done():
            self.ended.set_result(status)


def memory_file(content: bytes) -> int:
    """The descriptor of a file in memory, to be read from its beginning."""
    descriptor = os.memfd_create("sandbox", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
