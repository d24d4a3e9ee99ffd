"""Many agents that remember little: what their collections take together, and what a closed one costs to open."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from services.agents.memory.edge.protocol import EdgeLimits
from services.agents.memory.edge.store import EdgeMemoryStore
from services.agents.memory.model import Collection
from tests.bench import figures
from tests.bench.memory_data import Corpus, Pair, a_collection
from tests.bench.memory_sizes import Space, a_store, space_of


@dataclass(frozen=True)
class Crowd:
    """What was measured of so many agents with so many memories each. Times are milliseconds."""

    agents: int
    memories: int
    dimension: int
    open_shards: int
    create: list[float]
    """To make a collection and store its memories in one call."""
    filled: Space
    first_search: float
    """Of a process that is not there yet."""
    closed: list[float]
    """Searches that go round over all agents, of which not all fit: each opens its collection and closes another."""
    open: list[float]
    """The same over so few agents that theirs stay open."""
    searched: Space
    all_open: Space
    """Where the limit lets every collection stay open."""


async def measure(agents: int, memories: int, dimension: int) -> Crowd:
    """Fill the collections, then search them all in turn."""
    collections = [a_collection(number, dimension) for number in range(agents)]
    limits = EdgeLimits()
    corpus = Corpus(collections[0], memories)
    [batch] = corpus.batches(memories)
    [query] = corpus.queries(1).tolist()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with a_store(folder) as store:
            create = [await _filled(store, collection, batch.pairs) for collection in collections]
            filled = space_of(store, folder)
        async with a_store(folder) as store:
            [first] = await _searches(store, collections[:1], query, 1)
            closed = await _searches(store, collections, query, 1)
            few = collections[: min(agents, limits.open_shards) - 1]
            await _searches(store, few, query, 1)
            still_open = await _searches(store, few, query, 5)
            searched = space_of(store, folder)
        async with a_store(folder, EdgeLimits(open_shards=agents)) as store:
            await _searches(store, collections, query, 1)
            all_open = space_of(store, folder)
    return Crowd(
        agents, memories, dimension, limits.open_shards, create, filled, first, closed, still_open, searched, all_open
    )


async def _filled(store: EdgeMemoryStore, collection: Collection, pairs: Sequence[Pair]) -> float:
    own = [(replace(memory, agent_id=collection.agent_id), vector) for memory, vector in pairs]
    started = time.perf_counter()
    await store.create(collection)
    await store.put(collection, own)
    return 1000 * (time.perf_counter() - started)


async def _searches(
    store: EdgeMemoryStore, collections: Sequence[Collection], query: list[float], rounds: int
) -> list[float]:
    taken = []
    for collection in [*collections] * rounds:
        started = time.perf_counter()
        found = await store.nearest(collection, query, 10)
        taken.append(1000 * (time.perf_counter() - started))
        assert found
    return taken


def tables(crowd: Crowd) -> str:
    """What was measured, in two tables."""
    times = [
        ("make and fill", figures.p50(crowd.create), figures.p99(crowd.create), None),
        ("first search, process not started", crowd.first_search, None, None),
        (f"search, all in turn ({crowd.open_shards} open)", *_times(crowd.closed, crowd.open)),
        ("search, of those that are open", *_times(crowd.open, crowd.open)),
    ]
    spaces = [
        (name, each.pss, each.anonymous, each.disk)
        for name, each in (
            ("filled", crowd.filled),
            ("searched", crowd.searched),
            (f"searched, {crowd.agents} open", crowd.all_open),
        )
    ]
    title = f"{crowd.agents} agents with {crowd.memories} memories each, {crowd.dimension} dimensions"
    return "\n".join(
        [
            figures.table(title, ("what", "p50 ms", "p99", "ratio"), times),
            figures.table("What the store takes for them", ("state", "PSS MB", "anon", "disk MB"), spaces),
        ]
    )


def _times(taken: list[float], beside: list[float]) -> tuple[float, float, float]:
    return figures.p50(taken), figures.p99(taken), figures.p50(taken) / figures.p50(beside)
