"""A command that runs: its process, what it prints, and its end, all by what the event loop is told of descriptors."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from services.agents.sandbox.processes import child_of

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
        os.set_blocking(output, True)
        self._launcher, launcher = socket.socketpair()
        self._launcher.setblocking(False)
        self._first: int | None = None
        try:
            self._process = subprocess.Popen(
                [*before, "bwrap", "--args", str(options), "--", *launch],
                stdin=launcher.fileno(),
                stdout=output,
                stderr=output,
                pass_fds=(options, *handed),
                # What its first process shows of an environment is this one.
                env={"PATH": os.environ.get("PATH", os.defpath)},
                cwd="/",
            )
        except BaseException:
            os.close(self._output)
            self._launcher.close()
            raise
        finally:
            launcher.close()
            for each in (options, output):
                os.close(each)
        self._exit = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._output, self._read)
        self._loop.add_reader(self._launcher, self._hear_of_start)
        self._loop.add_reader(self._exit, self._hear_of_end, self._exit)
        self._awaited = {self._exit}
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
        if self._first is not None and self._first in self._awaited:
            signal.pidfd_send_signal(self._first, signal.SIGKILL)

    def _hear_of_start(self) -> None:
        # Nothing to read: it was ended before it said anything.
        with suppress(BlockingIOError):
            self.has_started = bool(self._launcher.recv(1))
        self._patience.cancel()
        self._loop.remove_reader(self._launcher)
        if self.has_started:
            # The launcher waits for an answer: till then nothing ends by itself. With the first process all others end,
            # and not always with bubblewrap, which may be gone before them.
            self._first = child_of(self.pid)
            if self._first is not None:
                self._awaited.add(self._first)
                self._loop.add_reader(self._first, self._hear_of_end, self._first)
            if self._doomed:
                self.kill()
            else:
                # Unless somebody else has killed it meanwhile.
                with suppress(BrokenPipeError):
                    self._launcher.send(b"\n")
        self._launcher.close()
        self.started.set()

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

    def _hear_of_end(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        self._awaited.remove(descriptor)
        os.close(descriptor)
        if descriptor == self._exit and not self.started.is_set():
            self._hear_of_start()
        if self._awaited:
            return
        # Nobody is left who could write.
        status = self._process.wait()
        while self._read():
            pass
        self._loop.remove_reader(self._output)
        os.close(self._output)
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
