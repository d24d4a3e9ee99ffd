"""The client that the store on a Qdrant server has: when it is loaded, shared and closed."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from services.agents.__main__ import running
from services.agents.memory.qdrant.store import QdrantMemoryStore
from services.runtime.settings import Settings
from tests.conformance.memory_stores import a_collection
from tests.e2e.ports import free_ports
from tests.fakes.qdrant_server import FakeQdrant

pytestmark = pytest.mark.server_backed


async def test_callers_that_come_while_the_client_loads_share_it(qdrant: FakeQdrant) -> None:
    store = QdrantMemoryStore(qdrant.url)
    first = asyncio.create_task(store.count(a_collection()))
    await asyncio.sleep(0)
    first.cancel()
    assert await asyncio.gather(*(store.count(a_collection()) for _ in range(3))) == [0, 0, 0]
    await store.close()


async def test_store_that_was_never_asked_closes() -> None:
    await QdrantMemoryStore("http://127.0.0.1:9").close()


async def test_service_that_has_started_loads_the_client_before_anybody_asks(tmp_path: Path) -> None:
    environ = {"CODELAB_DATA_DIR": str(tmp_path), "CODELAB_GRPC_PORT_BASE": str(free_ports(2))}
    settings = Settings.load({**environ, "QDRANT_URL": "http://127.0.0.1:9", "EMBEDDING_MODEL": "hashing"})
    async with running(settings):
        assert "load the qdrant client" in {task.get_name() for task in asyncio.all_tasks()}


def test_client_is_not_loaded_before_it_is_needed() -> None:
    script = "import sys, services.agents.memory.qdrant.store; sys.exit('qdrant_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_store_has_all_of_httpx_before_its_client_is_loaded_beside_that_of_the_model() -> None:
    # The openai client looks into it also when another thread has imported half of it.
    script = (
        "import sys; from services.agents.memory.qdrant.store import QdrantMemoryStore as Store;"
        "before = 'httpx' in sys.modules; Store('http://127.0.0.1:1', '');"
        "print(before, hasattr(sys.modules['httpx'], 'URL'), 'qdrant_client' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "True", "False"]
