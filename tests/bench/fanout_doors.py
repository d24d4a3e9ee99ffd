"""The servers of event streams that are compared: this platform, a plain one, and a bare relay."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from services.runtime.auth import Keys, TokenMinter
from services.runtime.ids import new_id
from tests.bench.load_process import LoadProcess
from tests.e2e.ports import free_ports
from tests.e2e.suite import ROOT, Layout, Suite, clean_environment

HOST = "127.0.0.1"
_TOKEN_SECONDS = 3600
_START_SECONDS = 30.0


@dataclass(frozen=True)
class Session:
    """A session and whose it is: each has a user and a project of its own."""

    id: str
    project_id: str
    user_id: str

    @classmethod
    def some(cls, count: int) -> "list[Session]":
        return [cls(new_id(), new_id(), new_id()) for _ in range(count)]


class Door(Protocol):
    """Where clients watch sessions and somebody publishes to them."""

    pids: dict[str, int]
    """The processes that are measured."""

    async def prepare(self, sessions: Sequence[Session]) -> None:
        """Let these be published to."""

    async def watch(self, sessions: Sequence[Session], *, stalled: bool = False) -> None:
        """Open a client's stream for each of these; a stalled client reads no more than its beginning."""

    async def publish(self, rate: float, seconds: float, size: int) -> int:
        """Publish pieces of text, of so many bytes, evenly and in turn. Returns how many."""


@dataclass(frozen=True)
class OurDoor:
    """The gateway, and behind it the streams service and its PublishService."""

    suite: Suite
    keys: Keys
    readers: LoadProcess
    publishers: LoadProcess

    @property
    def pids(self) -> dict[str, int]:
        measured = ("up",) if self.suite.layout is Layout.ONE else ("gateway", "streams")
        return {name: self.suite.processes[name].pid for name in measured}

    async def renew(self) -> None:
        """Start both anew: those who come later would be given the memory of those who left, and seem to need none."""
        for name in self.pids:
            self.suite.processes[name].kill()
            await self.suite.processes[name].wait()
        await self.suite.start(*self.pids)

    async def prepare(self, sessions: Sequence[Session]) -> None:
        await self.publishers.do(
            "open",
            address=self.suite.grpc_address("streams"),
            key=self.keys.service_secret,
            sessions=[(each.project_id, each.id, each.user_id) for each in sessions],
        )

    async def watch(self, sessions: Sequence[Session], *, stalled: bool = False) -> None:
        minter = TokenMinter(self.keys)
        tokens = {each.user_id: minter.user_token(each.user_id, _TOKEN_SECONDS) for each in sessions}
        requests = [
            get(f"/my/projects/{each.project_id}/chat/{each.id}/events", tokens[each.user_id]) for each in sessions
        ]
        await self.readers.do("open", host=HOST, port=self.suite.http_port, requests=requests, stalled=stalled)

    async def publish(self, rate: float, seconds: float, size: int) -> int:
        told = await self.publishers.do("publish", rate=rate, seconds=seconds, size=size)
        return int(told["published"])


@dataclass(frozen=True)
class PlainDoor:
    """`plain_sse`, in one process; or, as `bare_relay`, with a relay in front of it."""

    pids: dict[str, int]
    port: int
    """Where clients watch."""
    publish_port: int
    readers: LoadProcess

    @classmethod
    @asynccontextmanager
    async def plain(cls, readers: LoadProcess) -> "AsyncIterator[PlainDoor]":
        port = free_ports()
        async with _running("tests.bench.plain_sse", str(port), listens=port) as pid:
            yield cls({"all in one": pid}, port, port, readers)

    @classmethod
    @asynccontextmanager
    async def relayed(cls, readers: LoadProcess) -> "AsyncIterator[PlainDoor]":
        port = free_ports(3)
        relay, source, grpc_port = port, port + 1, str(port + 2)
        module = "tests.bench.bare_relay"
        async with (
            _running(module, "source", str(source), grpc_port, listens=source) as source_pid,
            _running(module, "relay", str(relay), grpc_port, listens=relay) as relay_pid,
        ):
            yield cls({"relay": relay_pid, "source": source_pid}, relay, source, readers)

    async def prepare(self, sessions: Sequence[Session]) -> None:
        """It publishes to whatever is watched."""

    async def watch(self, sessions: Sequence[Session], *, stalled: bool = False) -> None:
        requests = [get(f"/sessions/{each.id}/events") for each in sessions]
        await self.readers.do("open", host=HOST, port=self.port, requests=requests, stalled=stalled)

    async def publish(self, rate: float, seconds: float, size: int) -> int:
        body: dict[str, Any] = {"rate": rate, "seconds": seconds, "size": size}
        async with httpx.AsyncClient(timeout=seconds + 60) as http:
            answer = await http.post(f"http://{HOST}:{self.publish_port}/publish", json=body)
        return int(answer.raise_for_status().json()["published"])


@asynccontextmanager
async def _running(module: str, *arguments: str, listens: int) -> AsyncIterator[int]:
    """A server in a process of its own, whose id this is, from when it listens on a port."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments), env=clean_environment(), cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not await _listens(listens):
                assert process.returncode is None, f"{module} ended while starting"
                await asyncio.sleep(0.05)
        yield process.pid
    finally:
        process.kill()
        await process.wait()


def get(path: str, token: str = "") -> str:
    """The head of a request for an event stream."""
    lines = [f"GET {path} HTTP/1.1", "Host: bench", "Accept: text/event-stream"]
    return "\r\n".join([*lines, *([f"Authorization: Bearer {token}"] if token else []), "", ""])


async def _listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection(HOST, port)
        writer.close()
        return True
    return False
