"""Runs that wait for their user: whoever dies meanwhile, wherever it is decided, and if nobody decides."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from codelab.orchestrator.v1.approval_service_pb2 import ApproveRequest
from codelab.orchestrator.v1.approval_service_pb2_grpc import ApprovalServiceStub

from tests import postgres, redis_server
from tests.e2e.approving import approve, asking, call, ended, path_of, reject, waiting
from tests.e2e.client import Api, Chat, answer, problem, signed_in
from tests.e2e.conftest import settings
from tests.e2e.events import Event
from tests.e2e.plans import Errand, Step, giving, states
from tests.e2e.polling import eventually
from tests.e2e.suite import SECOND, Layout, Suite, clean_environment, run_codelab, running
from tests.fakes.openai_script import Script
from tests.fakes.openai_server import FakeModel
from tests.fakes.qdrant_description import described
from tests.fakes.qdrant_server import FakeQdrant

WRITE = asking([call("write_file", path="a", content="A")])


@contextlib.asynccontextmanager
async def alone(model: FakeModel, folder: Path, user: str, **chosen: str) -> AsyncIterator[tuple[Suite, Chat]]:
    """A suite of the test's own, and a chat of this user."""
    async with (
        running(Layout.ONE, folder, **{**settings(Layout.ONE, model), **chosen}) as suite,
        signed_in(suite.url, await suite.token(user)) as api,
    ):
        yield suite, await api.new_chat()


async def test_everything_is_killed_while_a_run_waits_and_it_goes_on_when_it_is_approved(
    model: FakeModel, folder: Path
) -> None:
    async with alone(model, folder, str(uuid.uuid4())) as (suite, chat):
        turn = [call("write_file", path="a", content="A"), call("list_directory")]
        run = await chat.start(asking(turn, [call("read_file", path="a")]))
        [write] = await waiting(chat, run["id"])
        await suite.kill()
        await suite.start()
        assert await waiting(chat, run["id"]) == [write]
        await answer(approve(chat, write))
        assert "A" in await ended(chat, run["id"])


async def test_command_that_ran_when_everything_was_killed_is_not_run_again(model: FakeModel, folder: Path) -> None:
    user = str(uuid.uuid4())
    async with alone(model, folder, user) as (suite, chat):
        run = await chat.start(asking([call("run_command", command="echo once >> log; sleep 60")]))
        [command] = await waiting(chat, run["id"])
        log = folder / "data" / "workspaces" / user / chat.project_id / "log"
        await answer(approve(chat, command))
        await eventually(lambda: log.exists() and log.read_text(), what="the command")
        await suite.kill()
        await suite.start()
        assert "nobody knows how it ended" in await ended(chat, run["id"])
        assert log.read_text() == "once\n"


async def test_question_that_nobody_answers_expires_and_the_run_goes_on(model: FakeModel, folder: Path) -> None:
    async with alone(model, folder, str(uuid.uuid4()), CODELAB_APPROVAL_SECONDS="0.5") as (_, chat):
        run = await chat.start(WRITE)
        assert "did not approve this call in time" in await ended(chat, run["id"])
        listed = await answer(chat.http.get(f"{chat.project_path}/approvals", params={"state": "expired"}))
        [shown] = listed["approvals"]
        assert (shown["state"], shown["reason"], shown["scope"]) == ("expired", None, None)
        for late in (approve(chat, shown), reject(chat, shown)):
            assert problem(await late, 409, "APPROVAL_DECIDED")["metadata"]["state"] == "expired"
        assert await answer(chat.http.get(path_of(chat, shown))) == shown
        resolved = [event for event in await chat.timeline(run["id"]) if event["type"] == "approval_resolved"]
        assert [event["payload"]["approval"] for event in resolved] == [shown]


async def test_two_clients_that_decide_at_once_hear_of_one_decision(ann: Api) -> None:
    chat = await ann.new_chat()
    for _ in range(5):
        run = await chat.start(WRITE)
        [write] = await waiting(chat, run["id"])
        decisions = await asyncio.gather(*(decide(chat, write) for decide in (approve, reject) * 3))
        bodies = [each.json() if each.status_code == 200 else each.json()["metadata"] for each in decisions]
        [state] = {body["state"] for body in bodies}
        assert sorted({each.status_code for each in decisions}) == [200, 409]
        text = await ended(chat, run["id"])
        assert ("rejected" in text) == (state == "rejected")


async def decided_beside_a_task_that_runs(
    chat: Chat, model: FakeModel, decide: Callable[[Event], Awaitable[object]]
) -> None:
    """One of two tasks waits for its user and goes on with the decision, while the other still runs."""
    gate = str(uuid.uuid4())
    turn = [call("write_file", path="a", content="A")]
    errand = Errand(
        [
            Step("slow", script=giving("Slow.", gate=gate)),
            Step("writes", script=Script(calls=[turn], answer="Written: {results}")),
        ]
    )
    run = await chat.start(errand.content, target_agent=None)
    write = await eventually(lambda: _asked(chat, run["id"]), what="the question")
    try:
        assert (await chat.run(run["id"]))["state"] == "running"
        await decide(write)
        await eventually(lambda: _is_done(chat, run["id"], "writes"), what="the end of the task that asked")
        assert states(await chat.run(run["id"])) == {"slow": "running", "writes": "succeeded"}
    finally:
        model.open_gate(gate)
    assert (await chat.run_after(run["id"]))["state"] == "succeeded"


async def _asked(chat: Chat, run_id: str) -> Event | None:
    approvals = (await chat.run(run_id))["approvals"]
    return approvals[0] if approvals else None


async def _is_done(chat: Chat, run_id: str, task_id: str) -> bool:
    return states(await chat.run(run_id))[task_id] == "succeeded"


async def test_task_goes_on_with_its_decision_while_others_still_run(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    await decided_beside_a_task_that_runs(chat, model, lambda write: answer(approve(chat, write)))


@contextlib.asynccontextmanager
async def replicas(model: FakeModel, folder: Path) -> AsyncIterator[Suite]:
    """Two of each of agents, orchestrator and streams, on servers that they share."""
    programs = postgres.programs()
    assert programs is not None, "PostgreSQL is not installed: apt-get install postgresql"
    with postgres.running(programs) as server, redis_server.running() as redis, FakeQdrant(described()) as qdrant:
        url = await server.create_database("parking")
        chosen = {**settings(Layout.FIVE, model), "DATABASE_URL": url, "REDIS_URL": redis.url, "QDRANT_URL": qdrant.url}
        migrated = await run_codelab("migrate", environment=clean_environment(**chosen), folder=folder)
        assert migrated.code == 0, migrated.output
        async with running(Layout.REPLICAS, folder, **chosen) as suite:
            yield suite


@pytest.mark.longer
@pytest.mark.server_backed
async def test_run_goes_on_whichever_replica_it_is_decided_on(model: FakeModel, folder: Path) -> None:
    user = str(uuid.uuid4())
    async with replicas(model, folder) as suite, signed_in(suite.url, await suite.token(user)) as api:
        chat = await api.new_chat()
        for process in ("orchestrator", f"orchestrator{SECOND}"):
            async with grpc.aio.insecure_channel(suite.grpc_address(process)) as channel:
                stub, metadata = ApprovalServiceStub(channel), (("authorization", f"Bearer {await suite.token(user)}"),)

                async def decide(approval: Event, stub: ApprovalServiceStub = stub, metadata: Any = metadata) -> None:
                    request = ApproveRequest(project_id=chat.project_id, approval_id=approval["id"])
                    await stub.Approve(request, timeout=20, metadata=metadata)

                run = await chat.start(WRITE)
                [write] = await waiting(chat, run["id"])
                await decide(write)
                assert "Told: " in await ended(chat, run["id"])
                await decided_beside_a_task_that_runs(chat, model, decide)
