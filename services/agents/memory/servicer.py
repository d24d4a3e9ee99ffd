"""The gRPC face of memory: protobuf in, protobuf out, nothing decided."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import grpc
from codelab.agents.v1 import memory_pb2, memory_service_pb2, memory_service_pb2_grpc
from google.protobuf.timestamp_pb2 import Timestamp

from services.agents.agent import Owner
from services.agents.errors import TimeOutOfRange
from services.agents.memory.model import Memory, MemoryFilter, Vector
from services.agents.memory.service import MemoryDraft, MemoryService, Search, SearchMode
from services.agents.memory.words import words_of
from services.runtime.auth import current_caller
from services.runtime.errors import InvalidArgument
from services.runtime.messages import fill, moment, plain
from services.runtime.validation import mask_paths

Context = grpc.aio.ServicerContext[Any, Any]

# Stores compare times as doubles, which are exact to the microsecond in between: lists are paged by exact times.
_EARLIEST_YEAR, _LATEST_YEAR = 1700, 2250


class MemoryServicer(memory_service_pb2_grpc.MemoryServiceServicer):
    """codelab.agents.v1.MemoryService."""

    def __init__(self, memories: MemoryService) -> None:
        self._memories = memories

    async def AddMemory(
        self, request: memory_service_pb2.AddMemoryRequest, context: Context
    ) -> memory_service_pb2.AddMemoryResponse:
        """See the contract."""
        request_id = request.request_id if request.HasField("request_id") else None
        memory = await self._memories.add(
            _owner(request.project_id), request.agent_id, _draft(request.memory), request_id
        )
        return memory_service_pb2.AddMemoryResponse(memory=memory_message(memory))

    async def ListMemories(
        self, request: memory_service_pb2.ListMemoriesRequest, context: Context
    ) -> memory_service_pb2.ListMemoriesResponse:
        """See the contract."""
        filter, asked = _filter(request), plain(request)
        mode: SearchMode = asked["mode"] if request.mode else "semantic"
        search = Search(request.q, mode, asked["min_score"]) if request.q.strip() else None
        page = await self._memories.list(
            _owner(request.project_id),
            request.agent_id,
            filter,
            search,
            request.page_size,
            request.page_token,
        )
        return memory_service_pb2.ListMemoriesResponse(
            memories=map(memory_message, page.memories, page.scores),
            total=page.total,
            next_page_token=page.next_page_token,
        )

    async def GetMemory(
        self, request: memory_service_pb2.GetMemoryRequest, context: Context
    ) -> memory_service_pb2.GetMemoryResponse:
        """See the contract."""
        memory = await self._memories.get(_owner(request.project_id), request.agent_id, request.memory_id)
        return memory_service_pb2.GetMemoryResponse(memory=memory_message(memory))

    async def UpdateMemory(
        self, request: memory_service_pb2.UpdateMemoryRequest, context: Context
    ) -> memory_service_pb2.UpdateMemoryResponse:
        """See the contract."""
        paths = frozenset(mask_paths(request.update_mask, memory_pb2.Memory.DESCRIPTOR))
        memory = await self._memories.update(
            _owner(request.project_id), request.agent_id, request.memory_id, _draft(request.memory), paths
        )
        return memory_service_pb2.UpdateMemoryResponse(memory=memory_message(memory))

    async def DeleteMemory(
        self, request: memory_service_pb2.DeleteMemoryRequest, context: Context
    ) -> memory_service_pb2.DeleteMemoryResponse:
        """See the contract."""
        await self._memories.delete(_owner(request.project_id), request.agent_id, request.memory_id)
        return memory_service_pb2.DeleteMemoryResponse()

    async def DeleteMemories(
        self, request: memory_service_pb2.DeleteMemoriesRequest, context: Context
    ) -> memory_service_pb2.DeleteMemoriesResponse:
        """See the contract."""
        deleted = await self._memories.delete_all(
            _owner(request.project_id), request.agent_id, _filter(request), request.all
        )
        return memory_service_pb2.DeleteMemoriesResponse(deleted=deleted)

    async def ImportMemories(
        self, request: memory_service_pb2.ImportMemoriesRequest, context: Context
    ) -> memory_service_pb2.ImportMemoriesResponse:
        """See the contract."""
        drafts = [
            (_draft(each.memory), _vector(each.vector, f"memories[{place}].vector"))
            for place, each in enumerate(request.memories)
        ]
        ids = await self._memories.add_all(_owner(request.project_id), request.agent_id, drafts)
        return memory_service_pb2.ImportMemoriesResponse(memory_ids=ids)


def memory_message(memory: Memory, score: float | None = None) -> memory_pb2.Memory:
    """A memory as the contract has it."""
    message = memory_pb2.Memory()
    fill(
        message,
        {
            "id": memory.id,
            "agent_id": memory.agent_id,
            "session_id": memory.session_id,
            "content": memory.content,
            "interaction_type": memory.interaction_type,
            "timestamp": memory.timestamp,
            "success": memory.success,
            "tags": memory.tags,
            "metadata": memory.metadata,
            "score": score,
        },
    )
    return message


def _owner(project_id: str) -> Owner:
    return Owner(current_caller().user_id, project_id)


def _draft(memory: memory_pb2.Memory) -> MemoryDraft:
    timestamp = _time(memory.timestamp) if memory.HasField("timestamp") else None
    values = plain(memory)
    return MemoryDraft(
        content=memory.content,
        interaction_type=values["interaction_type"] if memory.interaction_type else "direct_call",
        timestamp=timestamp,
        success=memory.success if memory.HasField("success") else True,
        tags=tuple(memory.tags),
        metadata=values["metadata"] or {},
    )


def _filter(
    request: memory_service_pb2.ListMemoriesRequest | memory_service_pb2.DeleteMemoriesRequest,
) -> MemoryFilter:
    asked = plain(request)
    return MemoryFilter(
        interaction_types=tuple(dict.fromkeys(asked["interaction_type"])),
        success=asked["success"],
        since=moment(request.since) if request.HasField("since") else None,
        until=moment(request.until) if request.HasField("until") else None,
        tags=tuple(dict.fromkeys(request.tag)),
        session_id=asked["session_id"],
        words=tuple(dict.fromkeys(words_of(request.text))),
    )


def _time(timestamp: Timestamp) -> datetime:
    time = moment(timestamp)
    if not _EARLIEST_YEAR <= time.year < _LATEST_YEAR:
        raise TimeOutOfRange(_EARLIEST_YEAR, _LATEST_YEAR)
    return time


def _vector(numbers: Iterable[float], path: str) -> Vector | None:
    vector = list(numbers)
    if not vector:
        return None
    peak = max(map(abs, vector))
    if not peak:
        raise InvalidArgument((path, "must not be all zero"))
    # Its length means nothing, but squares of very large or small numbers are not numbers to a store.
    return vector if 1e-9 < peak < 1e9 else [number / peak for number in vector]
