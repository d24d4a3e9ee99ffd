"""Many clients of event streams in one process, as cheap as can be: raw sockets and a look at the bytes.

`python -m tests.bench.sse_readers` obeys `load_process`. Times are seconds of the monotonic clock, which is one for all
processes of a machine.
"""

import asyncio
import re
import time
from collections import Counter
from typing import Any

from tests.bench.load_process import obey

# `mark` puts it into a text; neither JSON nor SSE has another word for it.
_MARK = re.compile(rb"@(\d+\.\d+)@")
_ENDED = re.compile(rb'event: (?:stream_ended|problem)\ndata: [^\n]*"reason":"(\w+)"')
# More of a text, or what there was of it before its reader came.
_TEXT = re.compile(rb'"generation":\d+,(?:"offset":\d+,)?"text":"([^"]*)"')
_BEGINNINGS = (b"\nid: ", b"\ndata: ", b": begun")
_AT_ONCE = 50


def mark(now: float) -> str:
    """What tells a reader when the text that contains it was published."""
    return f"@{now:.6f}@"


class Reader(asyncio.Protocol):
    """One stream: when what is marked in it came, how much text when, and how it ended."""

    def __init__(self, request: bytes, *, stalled: bool) -> None:
        loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[None] = loop.create_future()
        self.over: asyncio.Future[None] = loop.create_future()
        """Done when the stream has ended, or its connection."""
        self.delays: list[float] = []
        self.texts: list[tuple[float, int]] = []
        self.ended = ""
        self._request = request
        self._stalled = stalled
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        data = self._rest + data if self._rest else data
        whole = data.rfind(b"\n\n") + 2
        # The blocks that are complete: one may come in pieces.
        data, self._rest = (data[:whole], data[whole:]) if whole > 1 else (b"", data)
        if not data:
            return
        if not self.begun.done() and any(each in data for each in _BEGINNINGS):
            self.begun.set_result(None)
            if self._stalled:
                self.transport.pause_reading()
        self.delays += [now - float(each) for each in _MARK.findall(data)]
        if texts := _TEXT.findall(data):
            self.texts.append((now, sum(map(len, texts))))
        if ended := _ENDED.search(data):
            self.ended = ended[1].decode()
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.begun.done():
            self.begun.set_exception(ConnectionError(f"answered {self._rest[:500]!r}"))
        self._end()

    def _end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)


class Readers:
    """All readers of this process."""

    def __init__(self) -> None:
        self._readers: list[Reader] = []

    async def open(self, host: str, port: int, requests: list[str], stalled: bool = False) -> int:
        """Open these streams; each has begun."""
        for start in range(0, len(requests), _AT_ONCE):
            group = [await self._connect(host, port, each, stalled) for each in requests[start : start + _AT_ONCE]]
            await asyncio.gather(*(reader.begun for reader in group))
        return len(self._readers)

    async def arrived(self, count: int, within: float) -> bool:
        """Return once so much of what is marked has come since the last time; False if it has not within so long."""
        until = time.monotonic() + within
        while sum(len(reader.delays) for reader in self._readers) < count:
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.02)
        return True

    async def delays(self) -> list[float]:
        """How long what is marked was on its way, since the last time, in the order of the readers."""
        found = [delay for reader in self._readers for delay in reader.delays]
        for reader in self._readers:
            reader.delays.clear()
        return found

    async def wake(self, within: float) -> dict[str, int]:
        """Let the stalled ones read to their ends. Returns how many ended how: `cut` without a word, `open` not yet."""
        for reader in self._readers:
            if not reader.transport.is_closing():
                reader.transport.resume_reading()
        if self._readers:
            await asyncio.wait([reader.over for reader in self._readers], timeout=within)
        how = [reader.ended or ("cut" if reader.over.done() else "open") for reader in self._readers]
        return dict(Counter(how))

    async def close(self) -> None:
        """Leave all streams."""
        for reader in self._readers:
            reader.transport.abort()
        self._readers.clear()

    async def answers(self, host: str, port: int, requests: list[str], apart: float) -> list[dict[str, Any]]:
        """Send these, `apart` seconds one after the other, and read each answer to its end, if it is not refused."""
        readers = []
        begun_at = time.monotonic()
        for number, request in enumerate(requests):
            await asyncio.sleep(max(0.0, begun_at + number * apart - time.monotonic()))
            readers.append(await self._connect(host, port, request, False))
        await asyncio.wait([reader.over for reader in readers])
        self._readers.clear()
        return [{"texts": each.texts, "refused": str(each.begun.exception() or "")} for each in readers]

    async def _connect(self, host: str, port: int, request: str, stalled: bool) -> Reader:
        loop = asyncio.get_running_loop()
        _, reader = await loop.create_connection(lambda: Reader(request.encode(), stalled=stalled), host, port)
        self._readers.append(reader)
        return reader


async def main() -> None:
    readers = Readers()
    await obey({step: getattr(readers, step) for step in ("open", "arrived", "delays", "wake", "close", "answers")})


if __name__ == "__main__":
    asyncio.run(main())
