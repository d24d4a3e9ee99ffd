"""The projects service as a process: `python -m services.projects`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from codelab.projects.v1 import project_service_pb2
from codelab.projects.v1.project_service_pb2_grpc import add_ProjectServiceServicer_to_server

from services.projects.peers import AgentsPart, OrchestratorPart
from services.projects.reconciler import Reconciler
from services.projects.service import ProjectPart, ProjectService, UserService
from services.projects.servicer import ProjectServicer
from services.projects.sql_store import SqlProjectStore
from services.runtime.auth import Keys, TokenMinter, TokenVerifier
from services.runtime.channels import Peers
from services.runtime.data_folder import DataFolder
from services.runtime.databases import open_database, reporting_outages
from services.runtime.ids import Clock, new_id, utc_now
from services.runtime.process import main
from services.runtime.server import ServiceServer
from services.runtime.settings import Settings


@asynccontextmanager
async def running(settings: Settings, clock: Clock = utc_now) -> AsyncIterator[ServiceServer]:
    """Serve until the block ends; then let calls finish and close everything. Raise StartupError."""
    async with AsyncExitStack() as opened:
        folder = DataFolder(settings.data_dir)
        folder.lock("projects")
        opened.callback(folder.release)

        database = await opened.enter_async_context(open_database("projects", settings))
        store = SqlProjectStore(database)

        keys = Keys.of(settings)
        peers = Peers("projects", settings, TokenMinter(keys))
        opened.push_async_callback(peers.close)
        parts: list[ProjectPart] = [OrchestratorPart(peers), AgentsPart(peers)]
        reconciler = Reconciler(store, parts, clock)
        users = UserService(store, clock)
        projects = ProjectService(store, parts, clock, new_id, removal_due=reconciler.wake)

        server = ServiceServer("projects", settings, TokenVerifier(keys))
        server.add(
            add_ProjectServiceServicer_to_server,
            ProjectServicer(users, projects),
            project_service_pb2.DESCRIPTOR.services_by_name["ProjectService"],
        )
        await opened.enter_async_context(reconciler.running())
        await server.start()
        await opened.enter_async_context(reporting_outages(database, server))
        opened.push_async_callback(server.stop)
        yield server


if __name__ == "__main__":
    main("projects", running)
