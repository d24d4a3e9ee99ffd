"""A process that has an EdgeMemoryStore at work, until it is killed: `python -m tests.agents.edge.parent FOLDER`."""

import asyncio
import sys
from pathlib import Path

from services.agents.memory.edge.store import EdgeMemoryStore
from tests.agents.edge.memories import MANY, filled
from tests.agents.edge.processes import optimisers_of
from tests.conformance.memory_stores import a_memory, put
from tests.e2e.polling import eventually


async def main(folder: Path) -> None:
    store = EdgeMemoryStore(folder)
    collection = await filled(store, 2 * MANY)
    optimizing = asyncio.create_task(store.optimize(collection))
    await eventually(lambda: optimisers_of(folder), what="the optimiser's start")
    # This waits until the copy is made, and so until the optimiser is well under way.
    await put(store, collection, a_memory(collection))
    print(collection.owner.user_id, collection.owner.project_id, collection.agent_id, flush=True)
    await optimizing


asyncio.run(main(Path(sys.argv[1])))
