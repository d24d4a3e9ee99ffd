"""A direct call while another agent's memories are imported and optimised, against the same in quiet.

And what importing costs through the service: the same memories go through its ImportMemories and straight into a store
of this process's own, a call here, a call there. The suite is a real one, in one process, with the scripted model in
another; its embeddings are `hashing`, so that no model dominates what is measured.
"""

import asyncio
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import grpc
from codelab.agents.v1 import memory_pb2, memory_service_pb2, memory_service_pb2_grpc

from codelab_client.channel import MAX_MESSAGE_BYTES
from services.agents.memory.edge.protocol import EdgeLimits
from services.agents.memory.edge.store import EdgeMemoryStore
from services.agents.memory.store_choice import FOLDER
from tests.bench import figures
from tests.bench.direct_call import MESSAGES_A_SESSION, ModelProcess
from tests.bench.memory_data import Corpus, Pair, a_collection
from tests.bench.memory_sizes import a_store
from tests.e2e.client import Api, Chat, answer, signed_in
from tests.e2e.polling import eventually
from tests.e2e.suite import Layout, Suite, running
from tests.fakes.openai_script import Script

_CALLER, _OTHER = "CodeAssistant", "DataAnalyst"
_OWN_MEMORIES = 1_000
_AT_ONCE = 500
_COMPARED = 10_000
"""Memories that go both ways."""
_NEAR = 1_000
"""So many before an optimisation is due, importing pauses."""
_SETTLES_SECONDS = 600.0
_ANSWER = Script(answer="A sentence of the answer. " * 8, chunks=1)
Import = memory_service_pb2.ImportMemoriesRequest
_TYPES = {
    "task": memory_pb2.INTERACTION_TYPE_TASK,
    "tool": memory_pb2.INTERACTION_TYPE_TOOL,
    "direct_call": memory_pb2.INTERACTION_TYPE_DIRECT_CALL,
}


@dataclass
class Writing:
    """What writing so many memories took, in all."""

    memories: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of everything that takes part."""


@dataclass
class Calls:
    """What direct calls took in one condition; `cpu_seconds` are the suite's without its optimiser, in all."""

    milliseconds: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0


@dataclass
class Beside:
    """What was measured of direct calls beside a collection that grows to `size`."""

    dimension: int
    size: int = 0
    service: Writing = field(default_factory=Writing)
    store: Writing = field(default_factory=Writing)
    quiet: Calls = field(default_factory=Calls)
    importing: Calls = field(default_factory=Calls)
    optimizing: Calls = field(default_factory=Calls)
    optimized_seconds: list[float] = field(default_factory=list)


async def measure(dimension: int, calls: int, rounds: int) -> Beside:
    """Have one agent called while another one's memory grows until it was optimised so often."""
    growth = 1 + EdgeLimits().optimize_growth
    first = EdgeLimits().optimize_from
    due = [round(first * growth**number) for number in range(rounds)]
    # The last memories begin an optimisation, whichever call of them it is.
    corpus = Corpus(a_collection(1, dimension), due[-1] + 2 * _NEAR)
    pairs = (pair for batch in corpus.batches() for pair in batch.pairs)
    beside = Beside(dimension)
    async with _world() as world:
        await world.remember_own()
        await world.call(10, Calls())
        with tempfile.TemporaryDirectory() as folder:
            async with a_store(Path(folder)) as store:
                await _written_both_ways(world, store, corpus, list(islice(pairs, _COMPARED)), beside)
        beside.size = _COMPARED
        for each in due:
            beside.size += await _imported_beside_calls(
                world, pairs, each - _NEAR - beside.size, calls // rounds, beside
            )
            # Half of them before, half of them after: what changes over time changes both.
            half = calls // rounds // 2
            await world.call(half, beside.quiet)
            while not world.optimizing():
                beside.size += await world.import_memories(world.importing(list(islice(pairs, 100))))
            started = time.perf_counter()
            await world.call_while_optimizing(2 * half, beside.optimizing)
            await world.settled()
            beside.optimized_seconds.append(time.perf_counter() - started)
            await world.call(half, beside.quiet)
    return beside


class _World:
    """A suite with a user who has two agents: one is called, the other one remembers much."""

    def __init__(self, suite: Suite, api: Api, stub: memory_service_pb2_grpc.MemoryServiceStub, token: str) -> None:
        self._suite = suite
        self._api = api
        self._stub = stub
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._calls = 0
        self._project_id = ""
        self._agents: dict[str, str] = {}
        self._chat: Chat | None = None

    async def open(self) -> None:
        """Make the project."""
        self._project_id = (await self._api.new_project())["id"]
        listed = await answer(self._api.http.get(f"/my/projects/{self._project_id}/agents"))
        self._agents = {agent["name"]: agent["id"] for agent in listed["agents"]}

    async def remember_own(self) -> None:
        """Let the agent that is called remember something to search in."""
        corpus = Corpus(a_collection(2, 8), _OWN_MEMORIES, seed=7)
        for batch in corpus.batches(_AT_ONCE):
            await self.import_memories(self.importing([(memory, ()) for memory, _ in batch.pairs], _CALLER))

    def importing(self, pairs: Sequence[Pair], name: str = _OTHER) -> Import:
        """What imports these memories."""
        memories = [_imported(pair) for pair in pairs]
        return Import(project_id=self._project_id, agent_id=self._agents[name], memories=memories)

    async def import_memories(self, request: Import) -> int:
        """Import through the service; return how many they were."""
        response = await self._stub.ImportMemories(request, metadata=self._metadata, timeout=60)
        assert len(response.memory_ids) == len(request.memories)
        return len(request.memories)

    async def call(self, calls: int, of: Calls) -> None:
        """Call so many times, one after another."""
        for _ in range(calls):
            await self._call(of)

    async def call_while_optimizing(self, calls: int, of: Calls) -> None:
        """Call until so many calls began and ended during an optimisation, or it is over."""
        wanted = len(of.milliseconds) + calls
        while len(of.milliseconds) < wanted:
            seen = Calls()
            await self._call(seen)
            if not self.optimizing():
                return
            of.milliseconds += seen.milliseconds
            of.cpu_seconds += seen.cpu_seconds

    async def _call(self, of: Calls) -> None:
        if self._chat is None or self._calls % MESSAGES_A_SESSION == 0:
            self._chat = await self._api.new_chat(self._project_id)
        self._calls += 1
        content = f"{uuid.uuid4().hex} {_ANSWER.directive()}"
        cpu, started = self.cpu_seconds(), time.perf_counter()
        await answer(self._chat.send(content, target_agent=_CALLER))
        of.milliseconds.append(1000 * (time.perf_counter() - started))
        of.cpu_seconds += self.cpu_seconds() - cpu

    def optimizing(self) -> bool:
        """Whether the folder of the agent that remembers much has more in it than its shard."""
        folder = self._suite.folder / "data" / FOLDER / f"{self._agents[_OTHER]}_context"
        return folder.exists() and len(list(folder.iterdir())) > 1

    async def settled(self) -> None:
        """Return when nothing is optimised any more."""

        async def quiet() -> bool:
            return not self.optimizing()

        await eventually(quiet, _SETTLES_SECONDS, "the end of an optimisation")

    def cpu_seconds(self) -> float:
        """Of the suite and its store's process so far."""
        suite = [process.pid for process in self._suite.processes.values()]
        return figures.precise_cpu_seconds(*suite, *(child for pid in suite for child in figures.children(pid)))


@asynccontextmanager
async def _world() -> AsyncIterator[_World]:
    with tempfile.TemporaryDirectory() as folder:
        async with ModelProcess.running() as model:
            settings = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "sk-bench", "EMBEDDING_MODEL": "hashing"}
            async with running(Layout.ONE, Path(folder), CODELAB_LOG_LEVEL="warning", **settings) as suite:
                token = await suite.token(str(uuid.uuid4()))
                size = ("grpc.max_send_message_length", MAX_MESSAGE_BYTES)
                channel = grpc.aio.insecure_channel(suite.grpc_address("agents"), options=[size])
                async with signed_in(suite.url, token) as api, channel:
                    world = _World(suite, api, memory_service_pb2_grpc.MemoryServiceStub(channel), token)
                    await world.open()
                    yield world


async def _written_both_ways(
    world: _World, store: EdgeMemoryStore, corpus: Corpus, pairs: list[Pair], beside: Beside
) -> None:
    await store.create(corpus.collection)
    for chunk in _chunks(pairs):
        request = world.importing(chunk)
        cpu, started = time.process_time() + world.cpu_seconds(), time.perf_counter()
        await world.import_memories(request)
        _add(beside.service, len(chunk), started, time.process_time() + world.cpu_seconds() - cpu)
        assert store.pid is not None
        own = (store.pid,)
        cpu, started = time.process_time() + figures.precise_cpu_seconds(*own), time.perf_counter()
        await store.put(corpus.collection, chunk)
        _add(beside.store, len(chunk), started, time.process_time() + figures.precise_cpu_seconds(*own) - cpu)


async def _imported_beside_calls(
    world: _World, pairs: Iterator[Pair], memories: int, calls: int, beside: Beside
) -> int:
    """Import so many, and call so often meanwhile if there is the time; return how many were imported."""
    wanted = len(beside.importing.milliseconds) + calls
    # Made beforehand: what this process does meanwhile, the calls would wait for.
    requests = [world.importing(chunk) for chunk in _chunks(list(islice(pairs, memories)))]

    async def importing() -> int:
        return sum([await world.import_memories(request) for request in requests])

    task = asyncio.create_task(importing())
    try:
        while not task.done() and len(beside.importing.milliseconds) < wanted:
            await world.call(1, beside.importing)
        return await task
    finally:
        task.cancel()


def _chunks(pairs: list[Pair]) -> Iterator[list[Pair]]:
    return (pairs[start : start + _AT_ONCE] for start in range(0, len(pairs), _AT_ONCE))


def _add(writing: Writing, memories: int, started: float, cpu_seconds: float) -> None:
    writing.memories += memories
    writing.seconds += time.perf_counter() - started
    writing.cpu_seconds += cpu_seconds


def _imported(pair: Pair) -> memory_service_pb2.ImportedMemory:
    memory, vector = pair
    message = memory_pb2.Memory(
        content=memory.content, interaction_type=_TYPES[memory.interaction_type], tags=memory.tags
    )
    message.timestamp.FromDatetime(memory.timestamp)
    return memory_service_pb2.ImportedMemory(memory=message, vector=vector)


def tables(beside: Beside) -> str:
    """What was measured, in two tables."""
    straight = beside.store.memories / beside.store.seconds
    writing = [
        (
            name,
            each.memories / each.seconds,
            1e6 * each.cpu_seconds / each.memories,
            each.memories / each.seconds / straight,
        )
        for name, each in (("EdgeMemoryStore.put", beside.store), ("ImportMemories over gRPC", beside.service))
    ]
    quiet = figures.p50(beside.quiet.milliseconds), figures.p99(beside.quiet.milliseconds)
    calls = [
        (name, len(taken), p50, p99, p50 / quiet[0], p99 / quiet[1], 1000 * each.cpu_seconds / len(taken))
        for name, each in (
            ("in quiet", beside.quiet),
            ("another agent's memory imported", beside.importing),
            ("another agent's memory optimised", beside.optimizing),
        )
        if (taken := each.milliseconds)
        for p50, p99 in [(figures.p50(taken), figures.p99(taken))]
    ]
    lasted = ", ".join(f"{seconds:.1f}" for seconds in beside.optimized_seconds)
    return "\n".join(
        [
            figures.table(
                f"{beside.store.memories} memories, {beside.dimension} dimensions, {_AT_ONCE} a call, turn by turn",
                ("written through", "memories/s", "CPU µs", "ratio"),
                writing,
            ),
            figures.table(
                f"A direct call, one at a time; the other memory grew to {beside.size} x {beside.dimension} and was"
                f" optimised in {lasted} s; CPU without the optimiser (aim: ratio of p99 below 2)",
                ("a call", "calls", "p50 ms", "p99", "ratio p50", "ratio p99", "CPU ms"),
                calls,
            ),
        ]
    )
