"""What agents remember, on a real socket, in front of an agents service that answers everything else it is asked.

It finds a memory by any word of it.
"""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from codelab.agents.v1 import agent_service_pb2_grpc as agents_grpc
from codelab.agents.v1 import memory_service_pb2 as pb
from codelab.agents.v1 import memory_service_pb2_grpc as grpc_pb
from codelab.agents.v1.memory_pb2 import Memory


@dataclass
class FakeMemories(grpc_pb.MemoryServiceServicer, agents_grpc.AgentServiceServicer):
    """`memories` by (project, agent), oldest first."""

    agents: agents_grpc.AgentServiceStub
    address: str = ""
    memories: dict[tuple[str, str], list[Memory]] = field(default_factory=dict)
    asked: list[pb.ListMemoriesRequest] = field(default_factory=list)

    async def ListAgents(self, request: Any, context: Any) -> Any:
        sent = [each for each in context.invocation_metadata() if each[0] == "authorization"]
        return await self.agents.ListAgents(request, metadata=sent)

    async def AddMemory(self, request: pb.AddMemoryRequest, context: Any) -> pb.AddMemoryResponse:
        memory = Memory()
        memory.CopyFrom(request.memory)
        memory.id, memory.timestamp.seconds = str(uuid.uuid4()), 1_800_000_000
        self._of(request).append(memory)
        return pb.AddMemoryResponse(memory=memory)

    async def ListMemories(self, request: pb.ListMemoriesRequest, context: Any) -> pb.ListMemoriesResponse:
        self.asked.append(request)
        words = request.q.lower().split()
        found = [each for each in reversed(self._of(request)) if _fits(each, words)]
        for each in found:
            each.ClearField("score")
            if words:
                each.score = 0.5
        return pb.ListMemoriesResponse(memories=found[: request.page_size], total=len(found))

    async def DeleteMemory(self, request: pb.DeleteMemoryRequest, context: Any) -> pb.DeleteMemoryResponse:
        kept = self._of(request)
        [gone] = [each for each in kept if each.id == request.memory_id] or [None]
        if gone is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"memory {request.memory_id} does not exist")
        kept.remove(gone)
        return pb.DeleteMemoryResponse()

    def _of(self, request: Any) -> list[Memory]:
        return self.memories.setdefault((request.project_id, request.agent_id), [])


@asynccontextmanager
async def memories_before(agents_address: str) -> AsyncIterator[FakeMemories]:
    """Serve in front of the agents service at the address."""
    async with grpc.aio.insecure_channel(agents_address) as channel:
        fake = FakeMemories(agents_grpc.AgentServiceStub(channel))
        server = grpc.aio.server()
        grpc_pb.add_MemoryServiceServicer_to_server(fake, server)
        agents_grpc.add_AgentServiceServicer_to_server(fake, server)
        fake.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        try:
            yield fake
        finally:
            await server.stop(None)


def _fits(memory: Memory, words: list[str]) -> bool:
    return not words or any(word in memory.content.lower() for word in words)
