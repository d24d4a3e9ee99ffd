"""Executing tasks, over a real socket, with the real openai client and a scripted model."""

import asyncio
import json
from pathlib import Path

import grpc
import pytest
from codelab.agents.v1 import agent_pb2, execution_service_pb2

from services.agents import answering as answers
from services.agents.tokens import estimate_tokens
from services.runtime.databases import migrate
from services.runtime.settings import Settings
from tests.agents.calls import Agents, Execution, User, events_of, new_uuid, refused, serving
from tests.e2e.polling import eventually
from tests.fakes.openai_script import DEFAULT_ANSWER, Script
from tests.fakes.openai_server import FakeModel
from tests.postgres import PostgresServer

Event = execution_service_pb2.ExecuteResponse
HANG = f"Take your time. {Script(fault='hang').directive()}"
SLOW = f"Slowly. {Script(answer='abcdefghijklmnopqrst' * 5, chunks=100, token_seconds=0.2).directive()}"


@pytest.fixture
async def user(answering: Agents) -> User:
    user = answering.user()
    await answering.create_space(user)
    return user


async def make(agents: Agents, user: User, name: str = "Worker", **config: int | str | float) -> str:
    agent = agent_pb2.Agent(name=name, config=agent_pb2.AgentConfig(**config))  # type: ignore[arg-type]
    return (await agents.create(user, agent)).id


def kinds(events: list[Event]) -> list[str]:
    """The events' names, with their status or phase; deltas are joined into one."""
    names: list[str] = []
    for event in events:
        name = event.WhichOneof("event") or ""
        if name == "status_changed":
            name = agent_pb2.AgentStatus.Name(event.status_changed.status).removeprefix("AGENT_STATUS_").lower()
        if name == "working":
            name = agent_pb2.WorkPhase.Name(event.working.phase).removeprefix("WORK_PHASE_").lower()
        if names[-1:] != ["delta"] or name != "delta":
            names.append(name)
    return names


async def until(call: Execution, kind: str) -> list[Event]:
    """Read until an event of this kind has come."""
    read: list[Event] = []
    while kinds(read)[-1:] != [kind]:
        event = await call.read()
        assert event is not grpc.aio.EOF
        read.append(event)
    return read


async def status(agents: Agents, user: User, agent_id: str) -> str:
    return agent_pb2.AgentStatus.Name((await agents.get(user, agent_id)).status)


async def becomes_ready(agents: Agents, user: User, agent_id: str) -> None:
    async def ready() -> bool:
        return await status(agents, user, agent_id) == "AGENT_STATUS_READY"

    await eventually(ready, within=10.0)


async def closed(model: FakeModel) -> None:
    """The model's first request was given up. The model, in its own thread, notices a moment later."""
    await eventually(lambda: model.exchanges()[0].outcome == "closed_by_client", within=10.0)


# The way through


async def test_task_streams_what_happens_and_ends_with_the_whole_answer(answering: Agents, user: User) -> None:
    agent_id = await make(answering, user)
    events = await events_of(answering.execute(user, agent_id, "Say something."))
    assert kinds(events) == ["busy", "context", "thinking", "model_called", "delta", "ready", "completed"]
    text = ""
    for event in events:
        if event.HasField("delta"):
            assert event.delta.offset == len(text)
            text += event.delta.text
    assert text == events[-1].completed.output == DEFAULT_ANSWER
    usage = events[-1].completed.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (2, len(DEFAULT_ANSWER.split()))
    assert usage.model_calls == 1


async def test_model_is_asked_as_the_agent_is_configured(answering: Agents, user: User, model: FakeModel) -> None:
    agent_id = await make(
        answering, user, system_prompt="Be brief.", model="other-model", temperature=0.25, max_tokens=99
    )
    history = [
        execution_service_pb2.HistoryMessage(role="user", content="x" * 40_000),
        execution_service_pb2.HistoryMessage(role="user", content="Earlier."),
        execution_service_pb2.HistoryMessage(role="assistant", content="Indeed."),
    ]
    inputs = [execution_service_pb2.TaskInput(task_id="t", title="Research", output="42")]
    await events_of(answering.execute(user, agent_id, "Conclude.", history=history, inputs=inputs))
    body = model.exchanges()[0].body
    *before, last = body.pop("messages")
    assert before == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Earlier."},
        {"role": "assistant", "content": "Indeed."},
    ]
    assert last["role"] == "user"
    assert '{"title": "Research", "result": "42"}' in last["content"]
    assert last["content"].endswith("Conclude.")
    assert body == {
        "model": "other-model",
        "temperature": 0.25,
        "max_tokens": 99,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_agent_without_a_model_or_prompt_has_the_platforms_model_and_no_system_message(
    answering: Agents, user: User, model: FakeModel
) -> None:
    await events_of(answering.execute(user, await make(answering, user), "Hello."))
    body = model.exchanges()[0].body
    assert (body["model"], body["messages"]) == ("fake-model", [{"role": "user", "content": "Hello."}])


async def test_usage_that_is_not_reported_is_estimated_from_the_texts(answering: Agents, user: User) -> None:
    instruction = f"Hi. {Script(usage=False).directive()}"
    events = await events_of(answering.execute(user, await make(answering, user), instruction))
    usage = events[-1].completed.usage
    expected = (estimate_tokens(instruction), estimate_tokens(DEFAULT_ANSWER), 1)
    assert (usage.prompt_tokens, usage.completion_tokens, usage.model_calls) == expected
    assert [each.model_called.prompt_tokens for each in events if each.HasField("model_called")] == [expected[0]]


async def test_planned_task_is_shown_the_request_and_does_only_its_instruction(
    answering: Agents, user: User, model: FakeModel
) -> None:
    script = Script(answer="the task's")
    request = f"All of it. {Script(answer='the request').directive()}"
    agent_id = await make(answering, user)
    events = await events_of(answering.execute(user, agent_id, f"My part. {script.directive()}", request=request))
    assert events[-1].completed.output == "the task's"
    [exchange] = model.exchanges("My part.")
    assert json.dumps({"request": request}) in exchange.body["messages"][-1]["content"]


async def test_offline_model_says_what_it_is(tmp_path: Path) -> None:
    async with serving(tmp_path) as agents:
        user = agents.user()
        agent_id = (await agents.create_space(user))[0].id
        first, second = [await events_of(agents.execute(user, agent_id, "Why is the sky blue?")) for _ in range(2)]
    answer = first[-1].completed.output
    assert answer == second[-1].completed.output
    for part in ("offline model", "> Why is the sky blue?", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        assert part in answer
    assert sum(event.HasField("delta") for event in first) > 2


async def test_offline_model_quotes_whatever_the_line_ends_are(tmp_path: Path) -> None:
    async with serving(tmp_path) as agents:
        user = agents.user()
        agent_id = (await agents.create_space(user))[0].id
        events = await events_of(agents.execute(user, agent_id, "One\rTwo\u2028Three"))
    assert "> One\n> Two\n> Three\n" in events[-1].completed.output


# Failures


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [
        (Script(status=500), grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE"),
        (Script(status=429), grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE"),
        (Script(status=429, retry_after=3600), grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE"),
        (Script(status=429, retry_after=1e15), grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE"),
        (Script(status=429, retry_after=1e300), grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE"),
        (Script(fault="reset", after_chunks=0), grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE"),
        (Script(fault="hang"), grpc.StatusCode.DEADLINE_EXCEEDED, "MODEL_TIMEOUT"),
        (Script(fault="stall"), grpc.StatusCode.DEADLINE_EXCEEDED, "MODEL_TIMEOUT"),
        (Script(fault="reset", token_seconds=0.02), grpc.StatusCode.INTERNAL, "MODEL_FAILED"),
        (Script(fault="cut"), grpc.StatusCode.INTERNAL, "MODEL_FAILED"),
        (Script(fault="error_chunk"), grpc.StatusCode.INTERNAL, "MODEL_FAILED"),
        (Script(fault="garbage_body"), grpc.StatusCode.INTERNAL, "MODEL_FAILED"),
        (Script(fault="garbage_sse"), grpc.StatusCode.INTERNAL, "MODEL_FAILED"),
        (Script(fault="not_sse"), grpc.StatusCode.INTERNAL, "MODEL_FAILED"),
        (Script(fault="empty_choices"), grpc.StatusCode.INTERNAL, "MODEL_FAILED"),
        (Script(answer=" \n "), grpc.StatusCode.INTERNAL, "MODEL_FAILED"),
        (Script(status=401), grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED"),
        (Script(status=403), grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED"),
        (Script(status=400), grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED"),
        (Script(status=404), grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED"),
    ],
    ids=lambda value: value.directive() if isinstance(value, Script) else None,
)
async def test_models_failure_ends_the_task_with_its_reason_and_frees_the_agent(
    impatient: Agents, script: Script, code: grpc.StatusCode, reason: str
) -> None:
    user = impatient.user()
    await impatient.create_space(user)
    agent_id = await make(impatient, user, concurrency_limit=1)
    read: list[Event] = []
    with refused(code, reason) as errors:
        async for event in impatient.execute(user, agent_id, f"Secret words. {script.directive()}"):
            read.append(event)
    # Trying again is no use until somebody changes a setting.
    left = "error" if code is grpc.StatusCode.FAILED_PRECONDITION else "ready"
    assert kinds(read)[-1] == left
    assert "completed" not in kinds(read)
    assert not any(leak in errors[0].detail for leak in ("Secret", "Scripted", "127.0.0.1", "Traceback"))
    assert await status(impatient, user, agent_id) == f"AGENT_STATUS_{left.upper()}"
    events = await events_of(impatient.execute(user, agent_id, "And again."))
    assert events[-1].completed.output == DEFAULT_ANSWER
    assert await status(impatient, user, agent_id) == "AGENT_STATUS_READY"


async def test_change_of_its_config_ends_an_agents_error(answering: Agents, user: User) -> None:
    agent_id = await make(answering, user)
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED"):
        await events_of(answering.execute(user, agent_id, f"Hello. {Script(status=404).directive()}"))
    assert await status(answering, user, agent_id) == "AGENT_STATUS_ERROR"
    config = agent_pb2.AgentConfig(model="another")
    await answering.update(user, agent_id, agent_pb2.Agent(config=config), "config.model")
    assert await status(answering, user, agent_id) == "AGENT_STATUS_READY"


async def test_model_that_is_down_is_unavailable_and_comes_back(
    answering: Agents, user: User, model: FakeModel
) -> None:
    agent_id = await make(answering, user)
    model.stop()
    with refused(grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE"):
        await events_of(answering.execute(user, agent_id, "Hello."))
    model.start()
    assert (await events_of(answering.execute(user, agent_id, "Hello.")))[-1].completed.output == DEFAULT_ANSWER


async def test_refused_call_is_repeated_and_counted(answering: Agents, user: User, model: FakeModel) -> None:
    script = Script(status=503, times=2, retry_after=0.01)
    events = await events_of(answering.execute(user, await make(answering, user), f"Hi. {script.directive()}"))
    assert events[-1].completed.output == DEFAULT_ANSWER
    assert events[-1].completed.usage.model_calls == 3
    assert len(model.exchanges()) == 3


async def test_answer_that_does_not_end_is_ended(
    answering: Agents, user: User, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "LONGEST_ANSWER", 10)
    agent_id = await make(answering, user)
    fits, endless = Script(answer="abcde" * 2), Script(answer="abcde" * 40, chunks=40, token_seconds=0.2)
    assert (await events_of(answering.execute(user, agent_id, fits.directive())))[-1].completed.output == "abcdeabcde"
    with refused(grpc.StatusCode.INTERNAL, "MODEL_FAILED"):
        await events_of(answering.execute(user, agent_id, endless.directive()))
    await eventually(lambda: model.exchanges()[1].outcome == "closed_by_client")


async def test_call_that_said_something_is_not_repeated(answering: Agents, user: User, model: FakeModel) -> None:
    script = Script(fault="reset", times=1, token_seconds=0.02)
    with refused(grpc.StatusCode.INTERNAL, "MODEL_FAILED"):
        await events_of(answering.execute(user, await make(answering, user), f"Hi. {script.directive()}"))
    assert len(model.exchanges()) == 1


# Cancelling


@pytest.mark.parametrize(("instruction", "reached"), [(HANG, "thinking"), (SLOW, "delta")], ids=["silent", "talking"])
async def test_cancelled_call_closes_the_models_request_and_frees_the_agent(
    answering: Agents, user: User, model: FakeModel, instruction: str, reached: str
) -> None:
    agent_id = await make(answering, user, concurrency_limit=1)
    call = answering.execute(user, agent_id, instruction)
    await until(call, reached)
    await eventually(lambda: model.open_now())
    assert await status(answering, user, agent_id) == "AGENT_STATUS_BUSY"
    call.cancel()
    await closed(model)
    await becomes_ready(answering, user, agent_id)
    events = await events_of(answering.execute(user, agent_id, "Next."))
    assert kinds(events)[:2] == ["busy", "context"]


async def test_caller_that_does_not_read_is_cancelled_all_the_same(
    answering: Agents, user: User, model: FakeModel
) -> None:
    agent_id = await make(answering, user)
    script = Script(answer="x" * 2_000_000, chunks=200, token_seconds=0.005)
    call = answering.execute(user, agent_id, f"Much. {script.directive()}")
    await until(call, "delta")
    await eventually(lambda: model.exchanges()[0].pieces_sent > 50)
    call.cancel()
    await closed(model)
    await becomes_ready(answering, user, agent_id)


async def test_call_cancelled_in_the_queue_leaves_it(answering: Agents, user: User, model: FakeModel) -> None:
    agent_id = await make(answering, user, concurrency_limit=1)
    running = answering.execute(user, agent_id, SLOW)
    await until(running, "thinking")
    waiting = []
    for number in range(2):
        waiting.append(answering.execute(user, agent_id, f"Number {number}."))
        assert (await until(waiting[number], "queued"))[-1].working.position == number
    waiting[0].cancel()
    assert (await until(waiting[1], "queued"))[-1].working.position == 0
    running.cancel()
    assert kinds(await events_of(waiting[1]))[-1] == "completed"
    assert model.exchanges("Number 0.") == []
    await becomes_ready(answering, user, agent_id)


async def test_callers_that_vanish_at_any_moment_leave_nothing_behind(
    answering: Agents, user: User, model: FakeModel
) -> None:
    agent_id = await make(answering, user, concurrency_limit=2)
    for number in range(40):
        call = answering.execute(user, agent_id, f"Briefly. {Script(token_seconds=0.005).directive()}")
        await asyncio.sleep(number * 0.0005)
        call.cancel()
    await becomes_ready(answering, user, agent_id)
    await eventually(lambda: not model.open_now())
    assert kinds(await events_of(answering.execute(user, agent_id, "Next.")))[0] == "busy"


# The queue


async def test_agent_is_busy_from_its_first_task_to_its_last(answering: Agents, user: User, model: FakeModel) -> None:
    agent_id = await make(answering, user, concurrency_limit=2)
    instruction = Script(gate="all are there").directive()
    calls = [answering.execute(user, agent_id, instruction) for _ in range(2)]
    read = [await until(call, "thinking") for call in calls]
    calls.append(answering.execute(user, agent_id, instruction))
    read.append(await until(calls[-1], "queued"))
    model.open_gate("all are there")
    told = [kinds(begun + await events_of(call)) for begun, call in zip(read, calls, strict=True)]
    assert sum("busy" in each for each in told) == 1
    assert sum("ready" in each for each in told) == 1
    assert sum("queued" in each for each in told) == 1
    assert all(each[-1] == "completed" for each in told)


async def test_tasks_are_done_in_the_order_they_came(answering: Agents, user: User, model: FakeModel) -> None:
    agent_id = await make(answering, user, concurrency_limit=1)
    calls = []
    for number in range(5):
        calls.append(answering.execute(user, agent_id, f"Number {number}. {Script(token_seconds=0.02).directive()}"))
        await until(calls[-1], "queued" if number else "thinking")
    await asyncio.gather(*map(events_of, calls))
    assert [exchange.user_text[:9] for exchange in model.exchanges()] == [f"Number {number}." for number in range(5)]
    ended = [exchange.ended_at or 0.0 for exchange in model.exchanges()]
    assert all(exchange.received_at >= end for exchange, end in zip(model.exchanges()[1:], ended[:-1], strict=True))


async def test_higher_limit_lets_waiting_tasks_run(answering: Agents, user: User, model: FakeModel) -> None:
    agent_id = await make(answering, user, concurrency_limit=1)
    calls = [answering.execute(user, agent_id, SLOW)]
    await eventually(lambda: len(model.exchanges()) == 1)
    calls.append(answering.execute(user, agent_id, SLOW))
    await until(calls[1], "queued")
    wanted = agent_pb2.Agent(config=agent_pb2.AgentConfig(concurrency_limit=2, system_prompt="New."))
    await answering.update(user, agent_id, wanted, "config.concurrency_limit", "config.system_prompt")
    await until(calls[1], "thinking")
    await eventually(lambda: len(model.exchanges()) == 2)
    # Who waited starts with the config of the moment it starts.
    assert [exchange.body["messages"][0]["role"] for exchange in model.exchanges()] == ["user", "system"]
    for call in calls:
        call.cancel()
    await becomes_ready(answering, user, agent_id)


async def test_agents_do_not_wait_for_each_other(answering: Agents, user: User) -> None:
    first, second = [await make(answering, user, name, concurrency_limit=1) for name in ("First", "Second")]
    running = answering.execute(user, first, SLOW)
    await until(running, "thinking")
    assert "queued" not in kinds(await events_of(answering.execute(user, second, "Hello.")))
    running.cancel()


# Attempts


@pytest.mark.parametrize("later", [{"run_epoch": 1, "attempt": 2}, {"run_epoch": 2, "attempt": 1}])
async def test_later_attempt_cancels_the_running_one_and_a_late_earlier_one_is_refused(
    answering: Agents, user: User, model: FakeModel, later: dict[str, int]
) -> None:
    agent_id = await make(answering, user, concurrency_limit=1)
    task = {"run_id": new_uuid(), "task_id": new_uuid()}
    first = answering.execute(user, agent_id, HANG, run_epoch=1, attempt=1, **task)
    await until(first, "thinking")
    await eventually(lambda: model.open_now())
    second = await events_of(answering.execute(user, agent_id, "Again.", **task, **later))
    assert second[-1].completed.output == DEFAULT_ANSWER
    with refused(grpc.StatusCode.ABORTED, "EXECUTION_SUPERSEDED"):
        await events_of(first)
    await closed(model)
    for run_epoch, attempt in ((1, 1), (later["run_epoch"], later["attempt"])):
        with refused(grpc.StatusCode.ABORTED, "EXECUTION_SUPERSEDED"):
            await events_of(answering.execute(user, agent_id, "Late.", run_epoch=run_epoch, attempt=attempt, **task))
    assert len(model.exchanges()) == 2


@pytest.mark.server_backed
async def test_attempt_that_waits_here_does_not_begin_what_another_replica_has_done_meanwhile(
    tmp_path: Path, model: FakeModel, postgres_server: PostgresServer
) -> None:
    shared = {
        "DATABASE_URL": await postgres_server.create_database(f"replicas {new_uuid()}"),
        "OPENAI_BASE_URL": model.url,
        "OPENAI_MODEL": "fake-model",
        "SERVICE_TOKEN_KEY": "service-" * 10,
    }
    await migrate(Settings.load({**shared, "CODELAB_DATA_DIR": str(tmp_path)}))
    async with serving(tmp_path / "one", **shared) as here, serving(tmp_path / "two", **shared) as there:
        user = here.user()
        await here.create_space(user)
        agent_id = await make(here, user, concurrency_limit=1)
        running = here.execute(user, agent_id, SLOW)
        await until(running, "thinking")
        task = {"run_id": new_uuid(), "task_id": new_uuid()}
        waiting = here.execute(user, agent_id, "First owner's.", run_epoch=1, **task)
        await until(waiting, "queued")
        # The run's owner is frozen, and does not hang up; the next one's call comes to the other replica.
        done = await events_of(there.execute(user, agent_id, "Second owner's.", run_epoch=2, **task))
        assert kinds(done)[-1] == "completed"
        running.cancel()
        with refused(grpc.StatusCode.ABORTED, "EXECUTION_SUPERSEDED"):
            await events_of(waiting)
    assert model.exchanges("First owner's.") == []


async def test_later_attempt_cancels_one_that_still_waits(answering: Agents, user: User, model: FakeModel) -> None:
    agent_id = await make(answering, user, concurrency_limit=1)
    running = answering.execute(user, agent_id, SLOW)
    await until(running, "thinking")
    task = {"run_id": new_uuid(), "task_id": new_uuid()}
    waiting = answering.execute(user, agent_id, "First attempt.", **task)
    await until(waiting, "queued")
    later = answering.execute(user, agent_id, "Second attempt.", attempt=2, **task)
    with refused(grpc.StatusCode.ABORTED, "EXECUTION_SUPERSEDED"):
        await events_of(waiting)
    running.cancel()
    assert kinds(await events_of(later))[-1] == "completed"
    assert model.exchanges("First attempt.") == []


async def test_attempts_that_come_at_once_leave_the_latest(answering: Agents, user: User) -> None:
    agent_id = await make(answering, user, concurrency_limit=5)
    task = {"run_id": new_uuid(), "task_id": new_uuid()}
    script = Script(token_seconds=0.02).directive()
    calls = [answering.execute(user, agent_id, script, attempt=attempt, **task) for attempt in range(1, 8)]
    ends = await asyncio.gather(*map(events_of, calls), return_exceptions=True)
    assert not isinstance(ends[-1], BaseException)
    assert all(isinstance(end, grpc.aio.AioRpcError) for end in ends[:-1])
    await becomes_ready(answering, user, agent_id)


# Deleting


@pytest.mark.parametrize("what", ["agent", "project"])
async def test_deleting_stops_what_runs_and_what_waits(
    answering: Agents, user: User, model: FakeModel, what: str
) -> None:
    agent_id = await make(answering, user, concurrency_limit=1)
    running = answering.execute(user, agent_id, HANG)
    await until(running, "thinking")
    waiting = answering.execute(user, agent_id, "Never.")
    await until(waiting, "queued")
    await eventually(lambda: model.open_now())
    await (answering.delete(user, agent_id) if what == "agent" else answering.delete_space(user))
    for call in (running, waiting):
        with refused(grpc.StatusCode.NOT_FOUND, "AGENT_NOT_FOUND"):
            await events_of(call)
    await closed(model)
    assert model.exchanges("Never.") == []
    with refused(grpc.StatusCode.NOT_FOUND, "AGENT_NOT_FOUND"):
        await events_of(answering.execute(user, agent_id, "Late."))


async def test_stopping_service_lets_tasks_finish_and_then_cuts_them_off(tmp_path: Path, model: FakeModel) -> None:
    async with serving(tmp_path, OPENAI_BASE_URL=model.url) as agents:
        user = agents.user()
        agent_id = (await agents.create_space(user))[0].id
        short = agents.execute(user, agent_id, f"Soon. {Script(token_seconds=0.03).directive()}")
        long = agents.execute(user, agent_id, SLOW)
        await until(short, "delta")
        await until(long, "delta")
        finished = asyncio.ensure_future(events_of(short))
    assert kinds(await finished)[-1] == "completed"
    with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
        await events_of(long)
    await eventually(lambda: not model.open_now())
