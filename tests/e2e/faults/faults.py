"""What befalls a suite. A fault strikes, and leaves a suite that is whole again."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from tests.e2e.faults.transactions import freeze_client, freeze_writer
from tests.e2e.suite import SECOND, Layout

if TYPE_CHECKING:
    from tests.e2e.faults.game import Strike

LEASE_SECONDS = 1.0
_RESTARTED = (("agents", "orchestrator"), (f"agents{SECOND}", f"orchestrator{SECOND}"))


@dataclass(frozen=True)
class Fault:
    name: str
    strike: Callable[["Strike"], Awaitable[None]]
    layout: Layout
    spares_runs: bool = False
    """It touches nobody who asks the model: no run is tried twice."""
    streams_die: bool = False
    """What the streams service kept in its process is lost."""
    load: Literal["until seen", "until struck", "until healed"] = "until seen"
    """How long messages come."""
    hands_over: bool = False
    """Another replica lives: it takes over, within two leases."""


# -- any layout ---------------------------------------------------------------------------------------------------


async def kill_suite(strike: "Strike") -> None:
    await strike.suite.kill()
    await strike.suite.start()


async def kill(name: str, strike: "Strike") -> None:
    await strike.kill(name)
    await strike.pause(0, 1)
    await strike.suite.start(name)


async def restart(name: str, strike: "Strike") -> None:
    await strike.terminate(name)
    await strike.suite.start(name)


async def kill_writer(name: str, database: str, strike: "Strike") -> None:
    """SIGKILL while the process has a transaction open on its file."""
    pid = strike.suite.processes[name].pid
    await asyncio.to_thread(freeze_writer, pid, strike.suite.folder / "data" / f"{database}.db")
    await strike.look()
    await strike.kill(name)
    await strike.suite.start(name)


# -- replicas on PostgreSQL ---------------------------------------------------------------------------------------


async def kill_one(service: str, strike: "Strike") -> None:
    name = strike.either(service)
    await strike.kill(name)
    await strike.taken_over()
    await strike.suite.start(name)


async def freeze_agents(strike: "Strike") -> None:
    process = strike.suite.processes[strike.either("agents")]
    process.send_signal(signal.SIGSTOP)
    strike.struck()
    try:
        await strike.pause(1.2 * LEASE_SECONDS, 3 * LEASE_SECONDS)
    finally:
        process.send_signal(signal.SIGCONT)


async def freeze_owner(in_transaction: bool, strike: "Strike") -> None:
    """Longer than the lease: what wakes up must notice that its runs are another's.

    In a transaction it holds locks: who waits for them must not keep other runs from being taken over.
    """
    pid = strike.suite.processes[strike.either("orchestrator")].pid
    await freeze_client(pid, strike.ledger, strike.random, in_transaction=in_transaction)
    strike.struck()
    try:
        await strike.look()
        await strike.pause(1.2 * LEASE_SECONDS, 3 * LEASE_SECONDS)
        await strike.taken_over()
    finally:
        os.kill(pid, signal.SIGCONT)


async def kill_in_transaction(strike: "Strike") -> None:
    name = strike.either("orchestrator")
    await freeze_client(strike.suite.processes[name].pid, strike.ledger, strike.random, in_transaction=True)
    await strike.look()
    await strike.kill(name)
    await strike.taken_over()
    await strike.suite.start(name)


async def restart_postgres(strike: "Strike") -> None:
    """At once, as `pg_ctl restart -m immediate` does: connections break off, and the log is replayed."""
    assert strike.postgres is not None
    await asyncio.to_thread(strike.postgres.stop, signal.SIGQUIT)
    strike.struck()
    await strike.pause(0, 0.5)
    await asyncio.to_thread(strike.postgres.start)
    await strike.suite.serves()


async def crash_redis(strike: "Strike") -> None:
    """It comes back empty: who had a place at an agent, and who waited for one, is forgotten, and all streams are."""
    assert strike.redis is not None
    await asyncio.to_thread(strike.redis.stop)
    strike.struck()
    await strike.pause(0, 1)
    await asyncio.to_thread(strike.redis.start)


async def start_together(strike: "Strike") -> None:
    """Both replicas of both services are gone, and look for what is left at the same time."""
    names = [name for pair in _RESTARTED for name in pair]
    await asyncio.gather(*(strike.kill(name) for name in names))
    await strike.suite.start(*names)


async def roll(strike: "Strike") -> None:
    """One replica after the other is told to end, and started again, while messages come."""
    for names in _RESTARTED:
        await asyncio.gather(*(strike.terminate(name) for name in names))
        await strike.suite.start(*names)


FIVE = (
    Fault("SIGKILL of the suite", kill_suite, Layout.FIVE, streams_die=True),
    Fault("SIGKILL of orchestrator", partial(kill, "orchestrator"), Layout.FIVE),
    Fault("SIGKILL of agents", partial(kill, "agents"), Layout.FIVE),
    Fault("SIGKILL of streams", partial(kill, "streams"), Layout.FIVE, spares_runs=True, streams_die=True),
    Fault("SIGKILL of projects", partial(kill, "projects"), Layout.FIVE, spares_runs=True),
    Fault("SIGKILL of gateway", partial(kill, "gateway"), Layout.FIVE, spares_runs=True),
    Fault(
        "SIGKILL of orchestrator in its transaction",
        partial(kill_writer, "orchestrator", "orchestrator"),
        Layout.FIVE,
        load="until struck",
    ),
    Fault(
        "SIGKILL of agents in its transaction",
        partial(kill_writer, "agents", "agents"),
        Layout.FIVE,
        load="until struck",
    ),
    Fault("restart of orchestrator", partial(restart, "orchestrator"), Layout.FIVE),
    Fault("restart of agents", partial(restart, "agents"), Layout.FIVE),
)
ONE = (
    Fault("SIGKILL of the one process", kill_suite, Layout.ONE, streams_die=True),
    Fault(
        "SIGKILL of the one process in a transaction",
        partial(kill_writer, "up", "orchestrator"),
        Layout.ONE,
        load="until struck",
        streams_die=True,
    ),
    Fault("restart of the one process", partial(restart, "up"), Layout.ONE, streams_die=True),
)
REPLICAS = (
    Fault("SIGKILL of one orchestrator", partial(kill_one, "orchestrator"), Layout.REPLICAS, hands_over=True),
    Fault("SIGKILL of one agents", partial(kill_one, "agents"), Layout.REPLICAS),
    Fault("SIGSTOP of one agents", freeze_agents, Layout.REPLICAS),
    Fault("SIGSTOP of one orchestrator", partial(freeze_owner, False), Layout.REPLICAS, hands_over=True),
    Fault(
        "SIGSTOP of one orchestrator in its transaction",
        partial(freeze_owner, True),
        Layout.REPLICAS,
        load="until struck",
        hands_over=True,
    ),
    Fault(
        "SIGKILL of one orchestrator in its transaction",
        kill_in_transaction,
        Layout.REPLICAS,
        load="until struck",
        hands_over=True,
    ),
    Fault("immediate restart of PostgreSQL", restart_postgres, Layout.REPLICAS),
    Fault("SIGKILL of Redis", crash_redis, Layout.REPLICAS, streams_die=True),
    Fault("two of each start together", start_together, Layout.REPLICAS),
    Fault("rolling restart", roll, Layout.REPLICAS, load="until healed"),
)
OF_LAYOUT = {Layout.FIVE: FIVE, Layout.ONE: ONE, Layout.REPLICAS: REPLICAS}
