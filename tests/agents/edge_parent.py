"""A process that has an EdgeMemoryStore at work, until it is killed: `python -m tests.agents.edge_parent FOLDER`."""

import asyncio
import sys
from pathlib import Path

from services.agents.memory.edge_store import EdgeMemoryStore
from tests.agents.edge_memories import filled


async def main(folder: Path) -> None:
    store = EdgeMemoryStore(folder)
    collection = await filled(store)
    print(collection.owner.user_id, collection.owner.project_id, collection.agent_id, flush=True)
    await store.optimize(collection)


asyncio.run(main(Path(sys.argv[1])))
