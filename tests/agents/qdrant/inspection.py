"""What a Qdrant server says of a collection to whoever asks it without the store."""

from typing import Any

import httpx

from services.agents.memory.model import Collection
from tests.fakes.qdrant_server import FakeQdrant

INDEXES = {"agent_id", "at", "content", "interaction_type", "session_id", "success", "tags", "words"}
"""Of a collection that is wholly made."""


async def info(qdrant: FakeQdrant, collection: Collection) -> Any:
    async with httpx.AsyncClient(base_url=qdrant.url, timeout=30) as client:
        return (await client.get(f"/collections/{collection.name}")).json()["result"]


async def exists(qdrant: FakeQdrant, collection: Collection) -> bool:
    async with httpx.AsyncClient(base_url=qdrant.url, timeout=30) as client:
        answer = await client.get(f"/collections/{collection.name}/exists")
    return bool(answer.json()["result"]["exists"])
