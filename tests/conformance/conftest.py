"""The stores that the suites of their contracts run over."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.agents.memory.store import MemoryStore
from tests.conformance.memory_stores import BACKENDS, GROWN_AT


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.server_backed] * (name == "qdrant")) for name in BACKENDS]
)
async def memory_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MemoryStore]:
    """An empty store of memories, of each kind."""
    if request.param == "qdrant" and request.node.callspec.params.get("foreign") == "agent":
        # Each of its filters names the agent: what is another's never leaves the server, and there is none to count.
        request.applymarker(pytest.mark.xfail(strict=True, reason="what is never seen is not counted"))
    async with BACKENDS[request.param](tmp_path / "memory") as store:
        yield store


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the server's grown collections out: it keeps them as it keeps small ones, and the fake, which reads every
    point for every filter, takes minutes for them."""
    grown = [item for item in items if _is_grown_on_the_server(item)]
    if grown:
        config.hook.pytest_deselected(items=grown)
        items[:] = [item for item in items if item not in grown]


def _is_grown_on_the_server(item: pytest.Item) -> bool:
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return params.get("memory_store") == "qdrant" and params.get("filled", 0) > GROWN_AT
