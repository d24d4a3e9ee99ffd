"""Projects whose making or removal meets services that fail, hang and crash."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from codelab.projects.v1.project_service_pb2_grpc import ProjectServiceStub
from grpc import StatusCode

from codelab_client import ApiError
from services.projects import reconciler
from services.projects.store import State
from services.runtime.errors import Internal, Unauthenticated
from tests.projects.stage import Client, Part, ProjectDeleted, Stage, answers, eventually

PARTS = ["orchestrator", "agents"]


def part(stage: Stage, service: str) -> Part:
    return stage.orchestrator if service == "orchestrator" else stage.agents


@pytest.mark.parametrize("service", PARTS)
async def test_create_names_the_service_that_is_down_and_leaves_nothing(stage: Stage, service: str) -> None:
    up = next(each for each in PARTS if each != service)
    async with stage.serving() as stub, stage.listening(up):
        alice = Client(stub, stage.keys)
        with answers(StatusCode.UNAVAILABLE, "UNAVAILABLE") as caught:
            await alice.create()
        assert service in caught.value.detail
        assert await alice.names() == []

        def removed() -> bool:
            stage.clock.advance(1)
            return stage.rows() == []

        async with stage.listening(service):
            # The reconciler asks both to remove what the create may have made.
            await eventually(removed)
            assert stage.orchestrator.made == stage.agents.made == {}
            assert await alice.create()


@pytest.mark.parametrize("fault", [Internal("disk on fire"), Unauthenticated("bad token")], ids=["internal", "token"])
async def test_create_blames_no_user_for_what_a_service_answers(
    stage: Stage, alice: Client, fault: Internal | Unauthenticated
) -> None:
    stage.agents.fault = fault
    with answers(StatusCode.UNAVAILABLE, "SERVICE_FAILED") as caught:
        await alice.create()
    assert caught.value.metadata == {"service": "agents"}
    assert "agents" in caught.value.detail
    assert fault.detail not in caught.value.detail


async def test_create_names_the_service_that_hangs_before_its_caller_gives_up(stage: Stage, alice: Client) -> None:
    stage.agents.open.clear()
    with answers(StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED") as caught:
        await alice.create(timeout=1.0)
    assert "agents" in caught.value.detail
    stage.agents.open.set()
    await eventually(lambda: stage.rows() == [])
    assert stage.agents.made == stage.orchestrator.made == {}


async def test_create_whose_caller_goes_away_is_rolled_back(stage: Stage, alice: Client) -> None:
    stage.agents.open.clear()
    call = asyncio.ensure_future(alice.create())
    await stage.agents.arrived.wait()
    call.cancel()
    await eventually(lambda: stage.agents.asked["remove"] == 1)
    stage.agents.open.set()
    await eventually(lambda: stage.rows() == [])
    assert stage.agents.made == stage.orchestrator.made == {}


async def test_failed_create_with_request_id_waits_for_it_and_goes_on(stage: Stage, alice: Client) -> None:
    stage.agents.fault = Internal("no")
    with answers(StatusCode.UNAVAILABLE, "SERVICE_FAILED"):
        await alice.create(request_id="k")
    assert await alice.names() == []
    [begun] = stage.rows()
    stage.clock.advance(59)
    await stage.reconciled()
    with answers(StatusCode.UNAVAILABLE, "SERVICE_FAILED"):
        await alice.create(request_id="k")
    # It returned, so it has 60 s again.
    stage.clock.advance(59)
    await stage.reconciled()
    assert stage.rows() == [(begun[0], State.PROVISIONING)]
    stage.agents.fault = None
    assert (await alice.create(request_id="k")).id == begun[0]
    stage.clock.advance(120)
    await stage.reconciled()
    assert stage.rows() == [(begun[0], State.ACTIVE)]
    assert stage.agents.asked["remove"] == 0


async def test_failed_create_whose_request_id_stays_away_is_rolled_back_after_a_minute(
    stage: Stage, alice: Client
) -> None:
    stage.agents.fault = Internal("no")
    with answers(StatusCode.UNAVAILABLE, "SERVICE_FAILED"):
        await alice.create(request_id="k")
    [begun] = stage.rows()
    stage.agents.fault = None
    stage.clock.advance(61)
    await eventually(lambda: stage.rows() == [])
    assert stage.agents.removed == stage.orchestrator.removed == {begun[0]}
    # Nothing was ever answered for it: the request_id may make another.
    assert (await alice.create(request_id="k")).id != begun[0]


async def test_one_of_many_creates_with_one_request_id_may_fail(stage: Stage, alice: Client) -> None:
    stage.agents.open.clear()
    calls = asyncio.gather(*(alice.create(request_id="k") for _ in range(5)), return_exceptions=True)
    hasty = asyncio.ensure_future(alice.create(request_id="k", timeout=0.5))
    with pytest.raises(ApiError):
        await hasty
    stage.agents.open.set()
    assert len({project.id for project in await calls if not isinstance(project, BaseException)}) == 1
    assert len(await alice.names()) == 1


async def test_create_that_was_rolled_back_underneath_says_so(stage: Stage, alice: Client) -> None:
    stage.agents.fault = ProjectDeleted("the project was deleted")
    with answers(StatusCode.UNAVAILABLE, "PROJECT_ROLLED_BACK"):
        await alice.create()


async def test_create_that_outlives_its_time_does_not_come_back(stage: Stage, alice: Client) -> None:
    stage.agents.open.clear()
    call = asyncio.ensure_future(alice.create(request_id="k"))
    await stage.agents.arrived.wait()
    stage.clock.advance(61)
    await eventually(lambda: stage.agents.asked["remove"] == 1)
    stage.agents.open.set()
    with answers(StatusCode.UNAVAILABLE, "PROJECT_ROLLED_BACK"):
        await call
    await eventually(lambda: stage.rows() == [])
    # Which of the two the service saw first does not matter: the removal is for good.
    await eventually(lambda: stage.agents.made == {})


async def test_deletion_reaches_the_orchestrator_then_agents_then_the_row(stage: Stage, alice: Client) -> None:
    project = await alice.create()
    stage.orchestrator.open.clear()
    await alice.delete(project.id)
    await eventually(lambda: stage.orchestrator.asked["remove"] == 1)
    assert stage.agents.asked["remove"] == 0
    assert stage.rows() == [(project.id, State.DELETING)]
    stage.orchestrator.open.set()
    await eventually(lambda: stage.rows() == [])
    assert stage.orchestrator.removed == stage.agents.removed == {project.id}


async def test_deletion_waits_for_no_round(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciler, "ROUND_SECONDS", 3600.0)
    async with stage.parts(), stage.serving() as stub:
        alice = Client(stub, stage.keys)
        project = await alice.create()
        await alice.delete(project.id)
        await eventually(lambda: stage.rows() == [])


async def test_failing_deletion_is_tried_again_ever_more_slowly(stage: Stage) -> None:
    async with stage.parts():
        async with stage.serving() as stub:
            alice = Client(stub, stage.keys)
            project = await alice.create()
            stage.agents.fault = Internal("no")
            await alice.delete(project.id)
            await eventually(lambda: stage.agents.asked["remove"] == 1)
        tried = []
        for seconds in range(1, 17):
            stage.clock.advance(1)
            before = stage.agents.asked["remove"]
            await stage.reconciled()
            if stage.agents.asked["remove"] > before:
                tried.append(seconds)
        assert tried == [1, 3, 7, 15]
        stage.agents.fault = None
        stage.clock.advance(60)
        await stage.reconciled()
        assert stage.rows() == []


async def test_project_that_hangs_or_fails_holds_up_no_other(stage: Stage, alice: Client) -> None:
    bad, good = await alice.create("bad"), await alice.create("good")
    stage.agents.bad_projects.add(bad.id)
    await alice.delete(bad.id)
    await eventually(lambda: stage.agents.asked["remove"] == 1)
    await alice.delete(good.id)
    await eventually(lambda: good.id in stage.agents.removed)
    await eventually(lambda: stage.rows() == [(bad.id, State.DELETING)])


async def test_deletion_of_many_does_not_stop_at_what_fits_at_once(stage: Stage, alice: Client) -> None:
    projects = await asyncio.gather(*(alice.create(f"p{number}") for number in range(40)))
    await asyncio.gather(*(alice.delete(project.id) for project in projects))
    await eventually(lambda: stage.rows() == [])
    assert stage.agents.removed == {project.id for project in projects}


# What a killed process leaves is found by the next one.


@asynccontextmanager
async def process(
    stage: Stage, stderr: int | None = None
) -> AsyncIterator[tuple[asyncio.subprocess.Process, ProjectServiceStub]]:
    """The projects service in a process of its own."""
    environ = {
        **os.environ,
        "CODELAB_DATA_DIR": str(stage.settings.data_dir),
        "CODELAB_GRPC_PORT_BASE": str(stage.settings.grpc_port_base),
    }
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.projects", env=environ, stderr=stderr
    )
    try:
        async with stage.stub() as stub:
            yield running, stub
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


@pytest.mark.parametrize("service", PARTS)
async def test_create_cut_off_by_kill_is_rolled_back_a_minute_later(stage: Stage, service: str) -> None:
    async with stage.parts():
        part(stage, service).open.clear()
        async with process(stage) as (running, stub):
            alice = Client(stub, stage.keys)
            call = asyncio.ensure_future(alice.create(timeout=20))
            await part(stage, service).arrived.wait()
            running.send_signal(signal.SIGKILL)
            with answers(StatusCode.UNAVAILABLE, None):
                await call
        part(stage, service).open.set()
        stage.clock.catch_up()
        [begun] = stage.rows()
        async with stage.serving() as stub:
            await stage.reconciled()
            assert stage.rows() == [(begun[0], State.PROVISIONING)]
            stage.clock.advance(61)
            await eventually(lambda: stage.rows() == [])
            assert stage.agents.made == stage.orchestrator.made == {}


async def test_create_cut_off_by_kill_goes_on_when_its_request_id_returns(stage: Stage) -> None:
    async with stage.parts():
        stage.agents.open.clear()
        async with process(stage) as (running, stub):
            alice = Client(stub, stage.keys)
            call = asyncio.ensure_future(alice.create(request_id="k", timeout=20))
            await stage.agents.arrived.wait()
            running.send_signal(signal.SIGKILL)
            with answers(StatusCode.UNAVAILABLE, None):
                await call
        stage.agents.open.set()
        stage.clock.catch_up()
        [begun] = stage.rows()
        async with stage.serving() as stub:
            alice.use(stub)
            assert (await alice.create(request_id="k")).id == begun[0]


@pytest.mark.parametrize("service", PARTS)
async def test_deletion_cut_off_by_kill_is_finished_by_the_next_start(stage: Stage, service: str) -> None:
    async with stage.parts():
        async with process(stage) as (running, stub):
            alice = Client(stub, stage.keys)
            project = await alice.create(timeout=20)
            part(stage, service).arrived.clear()
            part(stage, service).open.clear()
            await alice.delete(project.id)
            await part(stage, service).arrived.wait()
            running.send_signal(signal.SIGKILL)
        part(stage, service).open.set()
        stage.clock.catch_up()
        stage.clock.advance(1)
        async with stage.serving() as stub:
            alice.use(stub)
            await eventually(lambda: stage.rows() == [])
            assert stage.agents.removed == stage.orchestrator.removed == {project.id}
            with answers(StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND"):
                await alice.get(project.id)


async def test_sigterm_ends_the_process_and_lets_the_next_one_start(stage: Stage) -> None:
    async with stage.parts():
        async with process(stage) as (running, stub):
            alice = Client(stub, stage.keys)
            project = await alice.create(timeout=20)
            running.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(running.wait(), 30) == 0
        async with stage.serving() as stub:
            alice.use(stub)
            assert await alice.get(project.id) == project


async def test_second_process_on_one_data_folder_says_why_it_does_not_start(stage: Stage) -> None:
    async with stage.serving(), process(stage, stderr=asyncio.subprocess.PIPE) as (second, _):
        _, text = await asyncio.wait_for(second.communicate(), 30)
    assert second.returncode == 1
    assert text.decode().startswith("codelab: projects already runs on the data folder")
    assert text.count(b"\n") == 1
