"""The orchestrator service, wired: `python -m services.orchestrator`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from codelab.orchestrator.v1 import (
    approval_service_pb2,
    approval_service_pb2_grpc,
    lifecycle_service_pb2,
    lifecycle_service_pb2_grpc,
    run_service_pb2,
    run_service_pb2_grpc,
    session_service_pb2,
    session_service_pb2_grpc,
)

from services.orchestrator.agents_client import AgentsClient
from services.orchestrator.approval_servicer import ApprovalServicer
from services.orchestrator.approvals import ApprovalService
from services.orchestrator.conductor import Conductor
from services.orchestrator.direct import Direct
from services.orchestrator.executor import Executor, Work
from services.orchestrator.leases import RunLimits
from services.orchestrator.limits import WorkLimits
from services.orchestrator.model import Mode
from services.orchestrator.planner import Planner
from services.orchestrator.purger import SessionPurger
from services.orchestrator.run_events import RunEvents
from services.orchestrator.service import RunService, SessionService
from services.orchestrator.servicer import LifecycleServicer, RunServicer, SessionServicer
from services.orchestrator.sql_approval_store import SqlApprovalStore
from services.orchestrator.sql_notices import CHANGED
from services.orchestrator.sql_run_store import SqlRunStore
from services.orchestrator.sql_session_store import SqlSessionStore
from services.orchestrator.streams_client import StreamsClient
from services.orchestrator.teller import Teller
from services.orchestrator.waiting import Waiting
from services.runtime.auth import Keys, TokenMinter, TokenVerifier
from services.runtime.channels import Peers
from services.runtime.data_folder import DataFolder
from services.runtime.databases import open_database, reporting_outages
from services.runtime.ids import new_id, utc_now
from services.runtime.process import main
from services.runtime.server import ServiceServer
from services.runtime.settings import Settings


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[ServiceServer]:
    """The service, listening while the block runs."""
    async with AsyncExitStack() as stack:
        folder = DataFolder(settings.data_dir)
        folder.lock("orchestrator")
        stack.callback(folder.release)

        database = await stack.enter_async_context(open_database("orchestrator", settings))
        sessions = SqlSessionStore(database)
        limits = RunLimits(settings.user_active_runs, settings.user_queued_runs)
        runs = SqlRunStore(database, settings.lease_seconds, limits)

        keys = Keys.of(settings)
        peers = Peers("orchestrator", settings, TokenMinter(keys))
        stack.push_async_callback(peers.close)
        agents = AgentsClient(peers)
        streams = StreamsClient(peers, utc_now)

        waiting = Waiting()
        teller = Teller(runs, streams, utc_now)
        approvals = SqlApprovalStore(database, settings.lease_seconds)
        work_limits = WorkLimits(
            settings.run_tasks, settings.run_model_calls, settings.run_tokens, settings.run_seconds
        )
        works: dict[Mode, Work] = {
            Mode.DIRECT: Direct(agents),
            Mode.ORCHESTRATED: Conductor(agents, Planner(agents, work_limits.tasks)),
        }
        executor = Executor(
            runs,
            approvals,
            works,
            work_limits,
            teller,
            waiting,
            utc_now,
            process=new_id(),
            approval_seconds=settings.approval_seconds,
        )
        purger = SessionPurger(sessions, streams)
        session_service = SessionService(sessions, executor, purger, utc_now, new_id)
        run_service = RunService(runs, agents, executor, waiting, utc_now, new_id)

        server = ServiceServer("orchestrator", settings, TokenVerifier(keys))
        server.add(
            session_service_pb2_grpc.add_SessionServiceServicer_to_server,
            SessionServicer(session_service),
            session_service_pb2.DESCRIPTOR.services_by_name["SessionService"],
        )
        server.add(
            run_service_pb2_grpc.add_RunServiceServicer_to_server,
            RunServicer(run_service, RunEvents(run_service, streams.watches, utc_now), settings.send_deadline_seconds),
            run_service_pb2.DESCRIPTOR.services_by_name["RunService"],
        )
        server.add(
            approval_service_pb2_grpc.add_ApprovalServiceServicer_to_server,
            ApprovalServicer(ApprovalService(approvals, executor, utc_now)),
            approval_service_pb2.DESCRIPTOR.services_by_name["ApprovalService"],
        )
        server.add(
            lifecycle_service_pb2_grpc.add_LifecycleServiceServicer_to_server,
            LifecycleServicer(session_service),
            lifecycle_service_pb2.DESCRIPTOR.services_by_name["LifecycleService"],
        )
        server.on_drain(executor.drain)
        server.on_drain(streams.watches.drain)
        stack.push_async_callback(executor.release)
        # Listening comes first: a second process that cannot listen must not take runs over.
        await server.start()
        await stack.enter_async_context(reporting_outages(database, server))
        stack.push_async_callback(server.stop)
        await stack.enter_async_context(database.listening(CHANGED, executor.heard_changed))
        await stack.enter_async_context(teller.working(settings.lease_seconds))
        await stack.enter_async_context(purger.working(settings.lease_seconds))
        await stack.enter_async_context(executor.working(settings.lease_seconds))
        stack.push_async_callback(server.drain)
        yield server


if __name__ == "__main__":
    main("orchestrator", running)
