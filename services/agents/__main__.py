"""The agents service as a process: `python -m services.agents`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from codelab.agents.v1 import (
    agent_service_pb2,
    agent_service_pb2_grpc,
    execution_service_pb2,
    execution_service_pb2_grpc,
    memory_service_pb2,
    memory_service_pb2_grpc,
    planning_service_pb2,
    planning_service_pb2_grpc,
    tool_service_pb2,
    tool_service_pb2_grpc,
    worker_space_service_pb2,
    worker_space_service_pb2_grpc,
)

from services.agents.bus_choice import agent_bus_of
from services.agents.execution import Executions
from services.agents.in_process_cache import InProcessAgentCache
from services.agents.memory.embedding.choice import embedder_of
from services.agents.memory.embedding.expecting import ExpectingEmbedder
from services.agents.memory.keeper import MemoryKeeper
from services.agents.memory.service import MemoryService
from services.agents.memory.servicer import MemoryServicer
from services.agents.memory.sql_registry import SqlMemoryRegistry
from services.agents.memory.store_choice import memory_store_of
from services.agents.models import Model
from services.agents.offline_model import OfflineModel
from services.agents.openai_model import OpenAIModel
from services.agents.planning import Planning
from services.agents.planning_servicer import PlanningServicer
from services.agents.ranking import Ranking
from services.agents.recollection import Recollections
from services.agents.sandbox.choice import user_of_commands
from services.agents.service import AgentService
from services.agents.servicer import AgentServicer, ExecutionServicer, WorkerSpaceServicer
from services.agents.sql_effects import SqlEffectJournal
from services.agents.sql_store import SqlAgentStore
from services.agents.tools.calling import Calling
from services.agents.tools.choice import tools_of
from services.agents.tools.service import ToolService
from services.agents.tools.servicer import ToolServicer
from services.agents.tools.sql_policy_store import SqlToolPolicyStore
from services.agents.tools.toolbox import Toolbox
from services.agents.working import Worker
from services.agents.workspaces.workspaces import Workspaces
from services.runtime.auth import Keys, TokenVerifier
from services.runtime.data_folder import DataFolder
from services.runtime.databases import open_database, reporting_outages
from services.runtime.ids import new_id, utc_now
from services.runtime.process import main
from services.runtime.server import ServiceServer
from services.runtime.settings import Settings
from services.runtime.tasks import repeating

_HOUSEKEEPING_SECONDS = 3600.0


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[ServiceServer]:
    """Serve until the block ends; then let calls finish and close everything, the last opened first."""
    async with AsyncExitStack() as opened:
        folder = DataFolder(settings.data_dir)
        folder.lock("agents")
        opened.callback(folder.release)

        database = await opened.enter_async_context(open_database("agents", settings))

        store, registry = SqlAgentStore(database), SqlMemoryRegistry(database)
        cache, bus = InProcessAgentCache(), await opened.enter_async_context(agent_bus_of(settings))
        model = await opened.enter_async_context(_model(settings))
        memories = memory_store_of(settings)
        opened.push_async_callback(memories.close)
        embedder = ExpectingEmbedder(embedder_of(settings))
        opened.push_async_callback(embedder.close)
        keeper = MemoryKeeper(registry, memories, embedder, utc_now)
        memory = MemoryService(keeper, registry, memories, embedder, utc_now)
        recollections = Recollections(keeper, memory, memories, embedder, utc_now)
        workspaces = Workspaces.of(settings, user_of_commands())
        toolbox = Toolbox(await tools_of(settings, workspaces, keeper, memory, embedder))
        policies, effects = SqlToolPolicyStore(database), SqlEffectJournal(database)
        worker = Worker(model, Calling(toolbox, policies, effects, utc_now), settings.task_steps)
        executions = Executions(store, effects, cache, bus, recollections, model, worker, utc_now)
        tools = ToolService(toolbox, policies, store, utc_now)
        planning = Planning(store, policies, toolbox, Ranking(embedder), model, embedder)
        agents = AgentService(store, cache, bus, executions, keeper, toolbox, workspaces, utc_now, new_id)

        server = ServiceServer("agents", settings, TokenVerifier(Keys.of(settings)))
        server.add(
            worker_space_service_pb2_grpc.add_WorkerSpaceServiceServicer_to_server,
            WorkerSpaceServicer(agents),
            worker_space_service_pb2.DESCRIPTOR.services_by_name["WorkerSpaceService"],
        )
        server.add(
            agent_service_pb2_grpc.add_AgentServiceServicer_to_server,
            AgentServicer(agents),
            agent_service_pb2.DESCRIPTOR.services_by_name["AgentService"],
        )
        server.add(
            execution_service_pb2_grpc.add_ExecutionServiceServicer_to_server,
            ExecutionServicer(agents, executions),
            execution_service_pb2.DESCRIPTOR.services_by_name["ExecutionService"],
        )
        server.add(
            memory_service_pb2_grpc.add_MemoryServiceServicer_to_server,
            MemoryServicer(memory),
            memory_service_pb2.DESCRIPTOR.services_by_name["MemoryService"],
        )
        server.add(
            planning_service_pb2_grpc.add_PlanningServiceServicer_to_server,
            PlanningServicer(planning),
            planning_service_pb2.DESCRIPTOR.services_by_name["PlanningService"],
        )
        server.add(
            tool_service_pb2_grpc.add_ToolServiceServicer_to_server,
            ToolServicer(tools),
            tool_service_pb2.DESCRIPTOR.services_by_name["ToolService"],
        )
        await opened.enter_async_context(repeating("old claims", executions.forget_old, _HOUSEKEEPING_SECONDS))
        sweep = await opened.enter_async_context(repeating("dropped memories", keeper.sweep, _HOUSEKEEPING_SECONDS))
        look = await opened.enter_async_context(
            repeating("other embeddings", keeper.warn_of_others, _HOUSEKEEPING_SECONDS)
        )
        left = await opened.enter_async_context(
            repeating("files of deleted projects", workspaces.sweep, _HOUSEKEEPING_SECONDS)
        )
        # What a crash left is dropped now, and what a changed setting made useless is said.
        sweep.set()
        left.set()
        look.set()
        await server.start()
        await opened.enter_async_context(reporting_outages(database, server))
        opened.push_async_callback(server.stop)
        # After the start, which would be slower for it; before the first message, which would be too.
        embedder.warm()
        memories.warm()
        if isinstance(model, OpenAIModel):
            model.warm()
        yield server


@asynccontextmanager
async def _model(settings: Settings) -> AsyncIterator[Model]:
    if not settings.openai_api_key and not settings.openai_base_url:
        yield OfflineModel()
        return
    model = OpenAIModel.of(settings)
    try:
        yield model
    finally:
        await model.close()


if __name__ == "__main__":
    main("agents", running)
