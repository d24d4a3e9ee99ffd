"""The stores that the suites of their contracts run over."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.agents.memory.model import Collection
from services.agents.memory.store import MemoryStore
from services.orchestrator.model import Owner
from services.orchestrator.store import RunStore
from tests.conformance.call_ways import WAYS, Calling, Happening, calling, happening_at
from tests.conformance.memory_stores import BACKENDS, a_collection
from tests.conformance.orchestrator_stores import Stores, stores_in
from tests.databases import Place


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.server_backed] * (name == "qdrant")) for name in BACKENDS]
)
async def memory_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MemoryStore]:
    """An empty store of memories, of each kind."""
    async with BACKENDS[request.param](tmp_path / "memory") as store:
        yield store


@pytest.fixture
async def mine(memory_store: MemoryStore) -> Collection:
    """An empty collection of memories."""
    collection = a_collection()
    await memory_store.create(collection)
    return collection


@pytest.fixture
async def stores(database_place: Place) -> Stores:
    """The orchestrator's stores of two replicas, empty."""
    return await stores_in(database_place)


@pytest.fixture
async def store(stores: Stores) -> RunStore:
    """The first replica's runs. Where other stores are tested, the file says which one `store` is."""
    return stores.runs


@pytest.fixture
async def ann(stores: Stores) -> Owner:
    """Somebody with a project."""
    return await stores.project()


@pytest.fixture
async def chat(stores: Stores, ann: Owner) -> str:
    """A session of hers."""
    return await stores.session(ann)


@pytest.fixture(params=WAYS)
async def called(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Calling]:
    """A server that is found by each way, started."""
    async with calling(WAYS[request.param], tmp_path) as made:
        await made.server.start()
        yield made
        await made.server.stop()


@pytest.fixture
def happening(called: Calling) -> Happening:
    """Everything that a test calls waits."""
    return happening_at(called)
