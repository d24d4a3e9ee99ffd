"""Everything around the projects service: users, a clock, and the two services behind it, over real sockets."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from codelab.agents.v1 import worker_space_service_pb2 as worker_spaces
from codelab.agents.v1 import worker_space_service_pb2_grpc as worker_spaces_grpc
from codelab.orchestrator.v1 import lifecycle_service_pb2 as lifecycle
from codelab.orchestrator.v1 import lifecycle_service_pb2_grpc as lifecycle_grpc
from codelab.projects.v1 import project_pb2
from codelab.projects.v1 import project_service_pb2 as pb
from codelab.projects.v1.project_service_pb2_grpc import ProjectServiceStub

from codelab_client import ApiError, connect
from services.projects.__main__ import running
from services.projects.peers import AgentsPart, OrchestratorPart
from services.projects.reconciler import Reconciler
from services.projects.service import ProjectPart
from services.projects.sql_store import SqlProjectStore
from services.runtime.auth import Keys, TokenMinter, TokenVerifier, current_caller
from services.runtime.channels import Peers
from services.runtime.errors import CodelabError, FailedPrecondition
from services.runtime.ids import new_id, utc_now
from services.runtime.server import ServiceServer
from services.runtime.settings import Settings
from services.runtime.sqlite import SqliteDatabase
from tests.e2e.ports import free_ports


class Clock:
    """The time, which moves only when told."""

    def __init__(self) -> None:
        self.now = utc_now()

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def catch_up(self) -> None:
        """Move to the time that other processes see."""
        self.now = utc_now()


class ProjectDeleted(FailedPrecondition):
    reason = "PROJECT_DELETED"


class Part:
    """What a service keeps of projects, as its contract says, with faults on demand."""

    def __init__(self) -> None:
        self.made: dict[str, str] = {}
        """Owner of each project that it keeps a part of."""
        self.removed: set[str] = set()
        self.asked: Counter[str] = Counter()
        """How often it was asked to `make` and to `remove`."""
        self.fault: CodelabError | None = None
        """What it answers while set."""
        self.open = asyncio.Event()
        """Calls wait until it is set."""
        self.open.set()
        self.bad_projects: set[str] = set()
        """Projects for which `open` is never set."""
        self.arrived = asyncio.Event()
        """Set by each call."""

    async def make(self, project_id: str) -> None:
        await self._admit("make", project_id)
        if project_id in self.removed:
            raise ProjectDeleted("the project was deleted")
        self.made.setdefault(project_id, current_caller().user_id)

    async def remove(self, project_id: str) -> None:
        await self._admit("remove", project_id)
        self.removed.add(project_id)
        self.made.pop(project_id, None)

    async def _admit(self, what: str, project_id: str) -> None:
        self.asked[what] += 1
        self.arrived.set()
        if project_id in self.bad_projects:
            await asyncio.Event().wait()
        await self.open.wait()
        if self.fault is not None:
            raise self.fault


class Lifecycle(lifecycle_grpc.LifecycleServiceServicer):
    def __init__(self, part: Part) -> None:
        self._part = part

    async def AdmitProject(self, request: Any, context: Any) -> lifecycle.AdmitProjectResponse:
        await self._part.make(request.project_id)
        return lifecycle.AdmitProjectResponse()

    async def DeleteProject(self, request: Any, context: Any) -> lifecycle.DeleteProjectResponse:
        await self._part.remove(request.project_id)
        return lifecycle.DeleteProjectResponse()


class WorkerSpaces(worker_spaces_grpc.WorkerSpaceServiceServicer):
    def __init__(self, part: Part) -> None:
        self._part = part

    async def CreateWorkerSpace(self, request: Any, context: Any) -> worker_spaces.CreateWorkerSpaceResponse:
        await self._part.make(request.project_id)
        return worker_spaces.CreateWorkerSpaceResponse()

    async def DeleteWorkerSpace(self, request: Any, context: Any) -> worker_spaces.DeleteWorkerSpaceResponse:
        await self._part.remove(request.project_id)
        return worker_spaces.DeleteWorkerSpaceResponse()


_LIFECYCLE = lifecycle.DESCRIPTOR.services_by_name["LifecycleService"]
_WORKER_SPACES = worker_spaces.DESCRIPTOR.services_by_name["WorkerSpaceService"]


class Client:
    """A user of the service. Every call has a deadline and the user's token."""

    def __init__(self, stub: ProjectServiceStub, keys: Keys, email: str | None = None) -> None:
        self.id = new_id()
        self._stub = stub
        token = TokenMinter(keys).user_token(self.id, 3600, email)
        self.metadata = (("authorization", f"Bearer {token}"),)

    def use(self, stub: ProjectServiceStub) -> None:
        """Call another instance of the service from now on."""
        self._stub = stub

    async def call(self, method: str, request: Any, timeout: float = 10.0) -> Any:
        """Call any RPC. Raise ApiError."""
        rpc = getattr(self._stub, method)
        try:
            # A service that was just started again is in its client's backoff.
            return await rpc(request, timeout=timeout, metadata=self.metadata, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            raise ApiError.of(error) from error

    async def create(
        self,
        name: str = "Novel",
        *,
        request_id: str | None = None,
        timeout: float = 10.0,
        **fields: str,
    ) -> project_pb2.Project:
        request = pb.CreateProjectRequest(project=project_pb2.Project(name=name, **fields), request_id=request_id)
        return (await self.call("CreateProject", request, timeout)).project

    async def get(self, project_id: str) -> project_pb2.Project:
        return (await self.call("GetProject", pb.GetProjectRequest(project_id=project_id))).project

    async def update(self, project_id: str, mask: list[str], **fields: str | None) -> project_pb2.Project:
        request = pb.UpdateProjectRequest(project_id=project_id, project=project_pb2.Project(**fields))
        request.update_mask.paths.extend(mask)
        return (await self.call("UpdateProject", request)).project

    async def delete(self, project_id: str) -> None:
        await self.call("DeleteProject", pb.DeleteProjectRequest(project_id=project_id))

    async def page(self, page_size: int = 0, page_token: str = "") -> pb.ListProjectsResponse:
        request = pb.ListProjectsRequest(page_size=page_size, page_token=page_token)
        return await self.call("ListProjects", request)

    async def names(self) -> list[str]:
        return [project.name for project in (await self.page()).projects]


@dataclass
class Stage:
    """The settings, the clock and the two services that the projects service meets. `play` it."""

    settings: Settings
    clock: Clock
    orchestrator: Part
    agents: Part
    keys: Keys

    @classmethod
    def at(cls, folder: Path) -> "Stage":
        environ = {"CODELAB_DATA_DIR": str(folder), "CODELAB_GRPC_PORT_BASE": str(free_ports(4))}
        settings = Settings.load({**environ, "CODELAB_DRAIN_SECONDS": "0.2"})
        return cls(settings, Clock(), Part(), Part(), Keys.of(settings))

    def rows(self) -> list[tuple[str, str]]:
        """(id, state) of every project that is stored, visible or not."""
        with closing(sqlite3.connect(self.settings.data_dir / "projects.db")) as connection:
            return connection.execute("SELECT id, state FROM user_projects ORDER BY created_at").fetchall()

    async def reconciled(self) -> None:
        """Do what is due by the clock, as another replica would, and return when each part was asked."""
        peers = Peers("projects", self.settings, TokenMinter(self.keys))
        database = SqliteDatabase(self.settings.data_dir / "projects.db")
        try:
            parts: list[ProjectPart] = [OrchestratorPart(peers), AgentsPart(peers)]
            reconciler = Reconciler(SqlProjectStore(database), parts, self.clock)
            await asyncio.gather(*await reconciler.begin_due())
        finally:
            await peers.close()
            await database.close()

    @asynccontextmanager
    async def parts(self) -> AsyncIterator[None]:
        """Both services behind, listening."""
        async with self.listening("orchestrator"), self.listening("agents"):
            yield

    @asynccontextmanager
    async def listening(self, service: str) -> AsyncIterator[None]:
        """One of the services behind, listening."""
        server = ServiceServer(service, self.settings, TokenVerifier(self.keys))
        if service == "agents":
            servicer = WorkerSpaces(self.agents)
            server.add(worker_spaces_grpc.add_WorkerSpaceServiceServicer_to_server, servicer, _WORKER_SPACES)
        else:
            servicer = Lifecycle(self.orchestrator)
            server.add(lifecycle_grpc.add_LifecycleServiceServicer_to_server, servicer, _LIFECYCLE)
        await server.start()
        try:
            yield
        finally:
            await server.stop()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[ProjectServiceStub]:
        """The projects service, listening."""
        async with running(self.settings, self.clock), self.stub() as stub:
            yield stub

    @asynccontextmanager
    async def stub(self) -> AsyncIterator[ProjectServiceStub]:
        """A stub for the projects service, wherever it runs."""
        async with connect(self.settings.peer_address("projects")) as channel:
            yield ProjectServiceStub(channel)


@contextmanager
def answers(code: grpc.StatusCode, reason: str | None) -> Iterator[pytest.ExceptionInfo[ApiError]]:
    """The block's call is answered with this error."""
    with pytest.raises(ApiError) as caught:
        yield caught
    assert (caught.value.code, caught.value.reason) == (code, reason)


async def eventually(condition: Callable[[], bool], timeout: float = 30.0) -> None:
    """Wait until `condition()` holds. For what another task, service or process does, which tells nobody."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
