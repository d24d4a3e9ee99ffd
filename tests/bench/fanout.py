"""What it costs to deliver an event, and what those who do not read do to others: `python -m tests.bench.fanout`.

In one run: clients on as many sessions, at a low rate and at that of some sixty answers being written, and clients on
one session, each beside a plain SSE endpoint with pub/sub in its own process, for as many clients, the same text and
the same rate (`plain_sse`: what one would write without this platform, on Starlette), and beside the least that two
processes take for it with a gRPC stream a client between them (`bare_relay`); then publishers alone, and beside readers
that have stalled. Gateway and streams service are processes of their own, then one. Clients are others, and so are the
publishers, who use PublishService as the orchestrator does. With --redis there is a Redis behind the services, too. CPU
a delivery includes what publishing costs the streams service, which is also told alone. Rates are moderate, so that no
delay is a queue's; at a low one a delivery costs more, because each wakes its processes for itself.
"""

import argparse
import asyncio
import itertools
import json
import os
import secrets
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from services.runtime.auth import Keys
from tests import redis_server
from tests.bench import figures
from tests.bench.fanout_doors import Door, OurDoor, PlainDoor, Session
from tests.bench.load_process import LoadProcess
from tests.e2e.suite import Layout, running

AIMS = {"cpu_us": 100.0, "p50_ms": 25.0, "stream_kb": 60.0, "acks_of_alone": 1.5, "grown_mb_a_stalled": 4.0}
TEXT_BYTES = 60
"""Of a delta: a dozen tokens, as they come together."""
HEAVY_BYTES = 16_384
ARRIVES_SECONDS = 30.0
"""What has not arrived so long after the last was published is missing."""


@dataclass(frozen=True)
class Size:
    """How much is measured. Rates are publications a second, in all."""

    sessions: int = 1000
    rate: float = 500.0
    busy_rate: float = 2000.0
    """Of as many sessions."""
    watchers: int = 100
    """Of one session."""
    shared_rate: float = 20.0
    seconds: float = 8.0
    settle_seconds: float = 1.0
    """Before anything is read off a process that is to stand still."""
    publishers: int = 100
    acked_rate: float = 400.0
    stalled: int = 50
    stalled_sessions: int = 2
    """What happens in these is what the stalled readers, who share them, do not read."""
    stalled_rate: float = 400.0
    heavy_seconds: float = 2.0
    """So long events are so large that the buffers on the way to the stalled readers fill: until then all is sent."""
    wake_seconds: float = 30.0
    """In which the stalled readers have to read on to their ends."""
    stalled_seconds: float = 9.0
    """In the first third of which acknowledgements do not count."""


@dataclass(frozen=True)
class Delivered:
    """What deliveries cost, each, and how long they took."""

    what: str
    clients: int
    sessions: int
    rate: float
    deliveries: int
    missing: int
    cpu_us: float
    cpu_us_by_process: dict[str, float]
    publish_us: float
    """CPU that a publication takes where nobody reads."""
    p50_ms: float
    p99_ms: float
    stream_kb: float
    """Memory that an open stream takes."""
    stream_kb_by_process: dict[str, float]


@dataclass(frozen=True)
class Stalled:
    """What publishers, and the machine, feel of readers that do not read."""

    publishers: int
    stalled: int
    acks: int
    alone_p50_ms: float
    alone_p99_ms: float
    beside_p50_ms: float
    beside_p99_ms: float
    grown_mb: dict[str, float]
    """By process, while they did not read."""
    ended: dict[str, int]
    """How many of their streams ended how, once they read on."""


@dataclass(frozen=True)
class Watched:
    """Sessions that are watched by as many clients each, and published to in turn, so many times a second in all."""

    sessions: int
    watchers: int
    rate: float

    @classmethod
    def all(cls, size: Size) -> "list[Watched]":
        """What is measured."""
        return [
            cls(size.sessions, 1, size.rate),
            cls(size.sessions, 1, size.busy_rate),
            cls(1, size.watchers, size.shared_rate),
        ]


async def deliver(what: str, door: Door, readers: LoadProcess, size: Size, of: Watched) -> Delivered:
    """Publish to sessions that are watched."""
    sessions = Session.some(of.sessions)
    watched = [session for session in sessions for _ in range(of.watchers)]
    await door.prepare(sessions)
    memory = memory_of(door)
    await door.watch(watched)
    await asyncio.sleep(size.settle_seconds)
    memory = grown(memory_of(door), memory, 1024 / len(watched))
    before = cpu_of(door)
    published = await door.publish(of.rate, size.seconds, TEXT_BYTES)
    deliveries = published * len(watched) // len(sessions)
    await readers.do("arrived", count=deliveries, within=ARRIVES_SECONDS)
    await asyncio.sleep(size.settle_seconds)
    cpu = grown(cpu_of(door), before, 1e6 / deliveries)
    delays = [1000 * delay for delay in await readers.do("delays")]
    await readers.do("close")
    await asyncio.sleep(size.settle_seconds)
    before = cpu_of(door)
    unread = await door.publish(of.rate, size.seconds / 2, TEXT_BYTES)
    publishing = grown(cpu_of(door), before, 1e6 / unread)
    return Delivered(
        what=what,
        clients=len(watched),
        sessions=len(sessions),
        rate=of.rate,
        deliveries=deliveries,
        missing=deliveries - len(delays),
        cpu_us=round(sum(cpu.values()), 1),
        cpu_us_by_process=cpu,
        publish_us=round(sum(publishing.values()), 1),
        p50_ms=round(figures.p50(delays), 2),
        p99_ms=round(figures.p99(delays), 2),
        stream_kb=round(sum(memory.values()), 1),
        stream_kb_by_process=memory,
    )


async def stall(door: OurDoor, size: Size) -> Stalled:
    """Publish state events, alone and then beside readers that have stalled."""
    sessions = Session.some(size.publishers)
    await door.prepare(sessions)
    alone = await acknowledgements(door, size)
    shared = sessions[: size.stalled_sessions]
    await door.watch([shared[number % len(shared)] for number in range(size.stalled)], stalled=True)
    memory = memory_of(door)
    beside = await acknowledgements(door, size)
    memory = grown(memory_of(door), memory, 1.0)
    ended = await door.readers.do("wake", within=size.wake_seconds)
    await door.readers.do("close")
    await door.publishers.do("close")
    return Stalled(
        publishers=size.publishers,
        stalled=size.stalled,
        acks=len(beside),
        alone_p50_ms=round(figures.p50(alone), 2),
        alone_p99_ms=round(figures.p99(alone), 2),
        beside_p50_ms=round(figures.p50(beside), 2),
        beside_p99_ms=round(figures.p99(beside), 2),
        grown_mb=memory,
        ended=ended,
    )


async def acknowledgements(door: OurDoor, size: Size) -> list[float]:
    """Milliseconds that acknowledgements took, of those whose sessions nobody watches."""
    told = await door.publishers.do(
        "publish",
        rate=size.acked_rate,
        seconds=size.stalled_seconds,
        size=TEXT_BYTES,
        event=True,
        busy=size.stalled_sessions,
        busy_rate=size.stalled_rate,
        heavy_size=HEAVY_BYTES,
        heavy_seconds=size.heavy_seconds,
    )
    counts_from = told["begun_at"] + size.stalled_seconds / 3
    return [1000 * seconds for at, seconds in told["acks"] if at >= counts_from]


def cpu_of(door: Door) -> dict[str, float]:
    return {name: figures.precise_cpu_seconds(pid) for name, pid in door.pids.items()}


def memory_of(door: Door) -> dict[str, float]:
    return {name: figures.pss_mb([pid]) for name, pid in door.pids.items()}


def grown(now: dict[str, float], before: dict[str, float], scale: float) -> dict[str, float]:
    return {name: round((value - before[name]) * scale, 1) for name, value in now.items()}


async def measure(layout: Layout, size: Size, **settings: str) -> tuple[list[Delivered], Stalled]:
    """Ours, then beside stalled readers."""
    keys = Keys(secrets.token_hex(32), secrets.token_hex(32))
    settings = {
        "JWT_SECRET_KEY": keys.user_secret,
        "SERVICE_TOKEN_KEY": keys.service_secret,
        "CODELAB_LOG_LEVEL": "warning",
        "EMBEDDING_MODEL": "hashing",
        # Heartbeats are deliveries that nobody counts.
        "CODELAB_HEARTBEAT_SECONDS": "60",
        **settings,
    }
    with tempfile.TemporaryDirectory() as folder:
        async with (
            running(layout, Path(folder), **settings) as suite,
            LoadProcess.running("tests.bench.sse_readers") as readers,
            LoadProcess.running("tests.bench.event_publishers") as publishers,
        ):
            door = OurDoor(suite, keys, readers, publishers)
            delivered = []
            for of in Watched.all(size):
                await _warm(door)
                delivered.append(await deliver("CodeLab", door, readers, size, of))
                await publishers.do("close")
                await door.renew()
            await _warm(door)
            return delivered, await stall(door, size)


async def _warm(door: OurDoor) -> None:
    """The first time everything is compiled and connected."""
    await deliver("", door, door.readers, Size(seconds=0.5, settle_seconds=0.1), Watched(10, 1, 100.0))
    await door.publishers.do("close")


async def measure_others(size: Size) -> list[list[Delivered]]:
    """The plain endpoint, and the bare relay."""
    others = {"plain SSE": PlainDoor.plain, "bare relay": PlainDoor.relayed}
    async with LoadProcess.running("tests.bench.sse_readers") as readers:
        found = []
        for what, running_door in others.items():
            delivered = []
            for of in Watched.all(size):
                async with running_door(readers) as door:
                    delivered.append(await deliver(what, door, readers, size, of))
            found.append(delivered)
        return found


HEADS = (
    *("", "clients", "sessions", "a second", "deliveries", "missing", "CPU µs", "by process", "publish µs"),
    *("p50 ms", "p99 ms", "KB a stream", "by process"),
)


def table(title: str, delivered: Sequence[Delivered], others: Sequence[Sequence[Delivered]]) -> str:
    """The figures, and whether the aims are met."""
    rows = [
        [
            *(each.what, each.clients, each.sessions, each.rate, each.deliveries, each.missing),
            *(each.cpu_us, listed(each.cpu_us_by_process), each.publish_us, each.p50_ms, each.p99_ms),
            *(each.stream_kb, listed(each.stream_kb_by_process)),
        ]
        for each in (*delivered, *itertools.chain(*others))
    ]
    lines = [
        line
        for ours, *beside in zip(delivered, *others, strict=True)
        for line in (
            *(
                f"{ours.clients} clients, {ours.sessions} sessions, {ours.rate:g}/s, {compared(ours, other)}"
                for other in beside
            ),
            judged("CPU a delivery", ours.cpu_us, AIMS["cpu_us"], "µs"),
            judged("p50 from publishing to arrival", ours.p50_ms, AIMS["p50_ms"], "ms"),
            judged("memory a stream", ours.stream_kb, AIMS["stream_kb"], "KB"),
        )
    ]
    return figures.table(title, HEADS, rows) + "".join(f"  {line}\n" for line in lines)


def compared(ours: Delivered, other: Delivered) -> str:
    """What ours cost in what the other's did."""
    return (
        f"beside {other.what}: CPU {ours.cpu_us / other.cpu_us:.2f} ×, p50 {ours.p50_ms / other.p50_ms:.2f} ×, memory"
        f" {ours.stream_kb / other.stream_kb:.2f} ×"
    )


def stalled_lines(stalled: Stalled) -> str:
    """What stalled readers did, and whether the aims are met."""
    # Who reads on within five seconds of being too slow gets all that was kept for them; who does not is cut off.
    told = sum(stalled.ended.get(reason, 0) for reason in ("slow_reader", "READER_STALLED"))
    lines = [
        f"{stalled.publishers} publishers' acknowledgements: p50 {stalled.alone_p50_ms:g} ms and p99"
        f" {stalled.alone_p99_ms:g} ms alone, {stalled.beside_p50_ms:g} and {stalled.beside_p99_ms:g} beside"
        f" {stalled.stalled} stalled readers; meanwhile grown by {listed(stalled.grown_mb)} MB",
        judged("acknowledgements' p50", stalled.beside_p50_ms / stalled.alone_p50_ms, AIMS["acks_of_alone"], "× alone"),
        judged(
            "memory a stalled reader",
            sum(stalled.grown_mb.values()) / stalled.stalled,
            AIMS["grown_mb_a_stalled"],
            "MB",
        ),
        f"all told that they were slow: {'met' if told == stalled.stalled else 'MISSED'}, {stalled.ended}",
    ]
    return "".join(f"  {line}\n" for line in lines)


def judged(what: str, found: float, aim: float, unit: str) -> str:
    return f"{what} within {aim:g} {unit}: {'met' if found <= aim else 'MISSED'}, {found:.4g}"


def listed(by_process: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in by_process.items())


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=Size.seconds, help="of each measurement")
    parser.add_argument("--redis", action="store_true", help="then the same again, with a Redis behind the services")
    asked = parser.parse_args()
    sys.stdout.write(f"$ python -m tests.bench.fanout {shlex.join(sys.argv[1:])}\n")
    size = Size(seconds=asked.seconds)
    others = await measure_others(size)
    reports: dict[str, Any] = {"others": [asdict(each) for each in itertools.chain(*others)]}

    async def report(name: str, layout: Layout, **settings: str) -> None:
        before = os.getloadavg()[0]
        delivered, stalled = await measure(layout, size, **settings)
        reports[name] = {"delivered": [asdict(each) for each in delivered], "stalled": asdict(stalled)}
        load = f"{os.cpu_count()} cores, load {before:.1f} before and {os.getloadavg()[0]:.1f} after"
        sys.stdout.write(table(f"events {name} ({load})", delivered, others) + stalled_lines(stalled))
        sys.stdout.flush()

    await report("of five processes", Layout.FIVE)
    await report("of one process", Layout.ONE)
    if asked.redis:
        with redis_server.running() as server:
            await report("of five processes, in Redis", Layout.FIVE, REDIS_URL=server.url)
    sys.stdout.write(json.dumps({"aims": AIMS, "reports": reports}) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
