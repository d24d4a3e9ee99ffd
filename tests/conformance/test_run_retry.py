"""What RunStore promises of retries and of a user's limits, held against every backend."""

import asyncio
from collections.abc import Awaitable

import pytest
import sqlalchemy as sa

from services.orchestrator.errors import (
    ProjectNotFound,
    RunNotFound,
    RunNotRetryable,
    RunRetried,
    SessionBusy,
    TooManyQueuedRuns,
    TooManyRuns,
)
from services.orchestrator.leases import Accepted, Lease, NewRetry
from services.orchestrator.model import OnBusy, Owner, RunState, TaskState
from services.orchestrator.tables import messages, runs
from services.runtime.errors import CodelabError, RequestIdReused
from services.runtime.idempotency import RequestKey
from services.runtime.ids import new_id
from tests.conformance.orchestrator_stores import (
    COST,
    FAILURE,
    LIMITS,
    NOW,
    ONE,
    TWO,
    Stores,
    a_key,
    a_message,
    begin_attempt,
    fail,
    lease_of,
    succeed,
)


async def failed_run(stores: Stores, owner: Owner, session_id: str, content: str = "Hi!") -> Lease:
    lease = await stores.running(owner, session_id, content)
    await fail(stores.runs, lease, ONE, FAILURE, NOW)
    return lease


async def retry(
    stores: Stores,
    owner: Owner,
    run_id: str,
    on_busy: OnBusy = OnBusy.QUEUE,
    key: RequestKey | None = None,
    process: str = ONE,
) -> Accepted:
    """Retry a run at the replica that `process` is."""
    store = stores.runs if process == ONE else stores.others
    return await store.retry(owner, NewRetry(new_id(), new_id(), run_id, on_busy), key, process, NOW)


async def said(stores: Stores, owner: Owner, session_id: str) -> list[str]:
    return [each.content for each in (await stores.sessions.list_messages(owner, session_id, 100, "")).elements]


async def refused(reason: type[CodelabError], asking: Awaitable[Accepted]) -> CodelabError:
    with pytest.raises(reason) as caught:
        await asking
    return caught.value


async def test_retry_does_the_task_again_and_answers_the_same_message(stores: Stores, ann: Owner, chat: str) -> None:
    failed = await failed_run(stores, ann, chat)
    accepted = await retry(stores, ann, failed.run_id)
    run, lease = accepted.run, lease_of(accepted)
    assert (run.state, run.retry_of, run.session_id) == (RunState.RUNNING, failed.run_id, chat)
    [task] = run.plan.tasks
    [before] = (await stores.runs.get_run(ann, failed.run_id)).plan.tasks
    assert (task.agent_id, task.instruction, task.state, task.attempt, task.error) == (
        before.agent_id,
        "Hi!",
        TaskState.RUNNING,
        1,
        None,
    )
    assert [event.type for event in lease.events] == ["agent_started"]
    await succeed(stores.runs, lease, ONE, "At last.", COST, NOW)
    assert await stores.runs.get_run(ann, run.id) == (await stores.others.get_run(ann, run.id))
    assert (await stores.runs.get_run(ann, failed.run_id)).state is RunState.FAILED
    assert await said(stores, ann, chat) == ["Hi!", "At last."]
    session = await stores.sessions.get_session(ann, chat)
    assert session.message_count == 2


async def test_what_is_read_of_a_retry_is_what_was_accepted(stores: Stores, ann: Owner, chat: str) -> None:
    failed = await failed_run(stores, ann, chat)
    accepted = await retry(stores, ann, failed.run_id)
    assert await stores.runs.get_run(ann, accepted.run.id) == accepted.run
    assert await stores.runs.find(ann, chat, None, NOW) is None


async def test_history_of_a_retry_ends_before_the_message_that_it_answers(
    stores: Stores, ann: Owner, chat: str
) -> None:
    first = await stores.running(ann, chat, "one")
    await succeed(stores.runs, first, ONE, "1", COST, NOW)
    failed = await failed_run(stores, ann, chat, "two")
    third = await stores.running(ann, chat, "three")
    await succeed(stores.runs, third, ONE, "3", COST, NOW)
    lease = lease_of(await retry(stores, ann, failed.run_id))
    assert [each.content for each in await stores.runs.history(lease, 10)] == ["one", "1"]
    await fail(stores.runs, lease, ONE, FAILURE, NOW)
    once_more = lease_of(await retry(stores, ann, lease.run_id))
    assert [each.content for each in await stores.runs.history(once_more, 10)] == ["one", "1"]
    await succeed(stores.runs, once_more, ONE, "2", COST, NOW)
    assert await said(stores, ann, chat) == ["one", "1", "two", "three", "3", "2"]


async def test_retry_that_is_taken_over_keeps_its_history(stores: Stores, ann: Owner, chat: str) -> None:
    first = await stores.running(ann, chat, "one")
    await succeed(stores.runs, first, ONE, "1", COST, NOW)
    failed = await failed_run(stores, ann, chat, "two")
    lease = lease_of(await retry(stores, ann, failed.run_id))
    await stores.expire(lease.run_id)
    adopted = await stores.others.adopt(chat, TWO, NOW)
    assert isinstance(adopted, Lease)
    assert [each.content for each in await stores.others.history(adopted, 10)] == ["one", "1"]


async def test_cancelled_run_can_be_retried(stores: Stores, ann: Owner, chat: str) -> None:
    lease = await stores.running(ann, chat)
    await stores.runs.cancel(ann, lease.run_id, ONE, NOW)
    assert (await retry(stores, ann, lease.run_id)).run.retry_of == lease.run_id


async def test_run_that_works_or_waits_or_succeeded_cannot_be_retried(stores: Stores, ann: Owner, chat: str) -> None:
    lease = await stores.running(ann, chat)
    waiting = (await stores.send(ann, chat)).run
    for run_id, state in ((lease.run_id, "running"), (waiting.id, "queued")):
        error = await refused(RunNotRetryable, retry(stores, ann, run_id))
        assert error.metadata["state"] == state
    await succeed(stores.runs, lease, ONE, "Done.", COST, NOW)
    assert (await refused(RunNotRetryable, retry(stores, ann, lease.run_id))).metadata["state"] == "succeeded"


async def test_run_is_retried_once_and_its_retry_in_turn(stores: Stores, ann: Owner, chat: str) -> None:
    failed = await failed_run(stores, ann, chat)
    again = lease_of(await retry(stores, ann, failed.run_id))
    error = await refused(RunRetried, retry(stores, ann, failed.run_id))
    assert error.metadata["retried_by"] == again.run_id
    await fail(stores.runs, again, ONE, FAILURE, NOW)
    assert (await retry(stores, ann, again.run_id)).run.retry_of == again.run_id


async def test_of_retries_at_once_on_two_replicas_one_is_made(stores: Stores, ann: Owner, chat: str) -> None:
    failed = await failed_run(stores, ann, chat)
    asked = (retry(stores, ann, failed.run_id, process=process) for process in (ONE, TWO) * 5)
    ends = await asyncio.gather(*asked, return_exceptions=True)
    [made] = [each for each in ends if isinstance(each, Accepted)]
    assert {type(each) for each in ends if each is not made} == {RunRetried}
    assert len(await stores.execute(sa.select(runs).where(runs.c.retry_of == failed.run_id))) == 1


async def test_same_key_answers_with_the_first_retry(stores: Stores, ann: Owner, chat: str) -> None:
    failed = await failed_run(stores, ann, chat)
    other = await failed_run(stores, ann, chat)
    key = a_key("k", failed.run_id, scope="Retry")
    made = await retry(stores, ann, failed.run_id, key=key)
    again = await retry(stores, ann, failed.run_id, key=key)
    assert (again.joined, again.lease, again.run.id) == (True, None, made.run.id)
    await refused(RequestIdReused, retry(stores, ann, other.run_id, key=a_key("k", other.run_id, scope="Retry")))


async def test_retry_in_a_busy_session_waits_refuses_or_replaces(stores: Stores, ann: Owner, chat: str) -> None:
    failed = await failed_run(stores, ann, chat)
    busy = await stores.running(ann, chat, "Meanwhile")
    await refused(SessionBusy, retry(stores, ann, failed.run_id, OnBusy.REJECT))
    waiting = await retry(stores, ann, failed.run_id)
    assert (waiting.run.state, waiting.lease, waiting.outbox) == (RunState.QUEUED, None, ())
    ended = await succeed(stores.runs, busy, ONE, "Done.", COST, NOW)
    assert ended.promoted is not None
    assert ended.promoted.run_id == waiting.run.id
    await fail(stores.runs, await begin_attempt(stores.runs, ended.promoted, ONE, NOW), ONE, FAILURE, NOW)
    busy = await stores.running(ann, chat, "Meanwhile")
    replacing = await retry(stores, ann, waiting.run.id, OnBusy.REPLACE)
    assert (replacing.run.state, replacing.stopped) == (RunState.RUNNING, (busy.run_id,))


async def test_what_is_not_ones_own_or_gone_cannot_be_retried(stores: Stores, ann: Owner, chat: str) -> None:
    failed = await failed_run(stores, ann, chat)
    bob, elsewhere = await stores.project(), await stores.project(ann.user_id)
    for stranger in (bob, elsewhere):
        await refused(RunNotFound, retry(stores, stranger, failed.run_id))
    await refused(RunNotFound, retry(stores, ann, new_id()))
    await stores.sessions.delete_session(ann, chat, NOW)
    await refused(RunNotFound, retry(stores, ann, failed.run_id))
    await stores.sessions.delete_project(ann)
    await refused(ProjectNotFound, retry(stores, ann, failed.run_id))


# Limits


async def fill(stores: Stores, owner: Owner, active: int = 0, queued: int = 0) -> list[Lease]:
    """Give the user so many active runs, and so many that wait, over sessions and projects."""
    projects = [owner, await stores.project(owner.user_id)]
    sessions = [(projects[number % 2], await stores.session(projects[number % 2])) for number in range(active)]
    leases = [await stores.running(project, session) for project, session in sessions]
    for number in range(queued):
        await stores.send(*sessions[number % active])
    return leases


async def test_active_runs_of_a_user_are_limited_over_sessions_and_projects(stores: Stores, ann: Owner) -> None:
    leases = await fill(stores, ann, active=LIMITS.active)
    chat, before = await stores.session(ann), await stores.execute(sa.select(messages.c.id))
    error = await refused(TooManyRuns, stores.send(ann, chat))
    assert (error.retry_after, error.metadata) == (2.0, {"limit": str(LIMITS.active)})
    assert await stores.execute(sa.select(messages.c.id)) == before
    assert (await stores.sessions.get_session(ann, chat)).message_count == 0
    bob = await stores.project()
    await stores.running(bob, await stores.session(bob))
    # A session that is busy takes messages all the same: they wait.
    assert (await stores.send(ann, leases[0].session_id)).run.state is RunState.QUEUED
    await fail(stores.runs, leases[1], ONE, FAILURE, NOW)
    await stores.running(ann, chat)


async def test_waiting_messages_of_a_user_are_limited_over_sessions_and_projects(stores: Stores, ann: Owner) -> None:
    first, _ = await fill(stores, ann, active=2, queued=LIMITS.queued)
    error = await refused(TooManyQueuedRuns, stores.send(ann, first.session_id))
    assert (error.retry_after, error.metadata) == (5.0, {"limit": str(LIMITS.queued)})
    # What replaces does not wait.
    replacing = await stores.send(ann, first.session_id, on_busy=OnBusy.REPLACE)
    assert replacing.run.state is RunState.RUNNING
    assert (await stores.send(ann, first.session_id)).run.state is RunState.QUEUED


async def test_limits_hold_against_messages_at_once_on_two_replicas(stores: Stores, ann: Owner) -> None:
    await fill(stores, ann, active=LIMITS.active - 3)
    chats = [await stores.session(ann) for _ in range(8)]
    places = [(stores.runs, ONE), (stores.others, TWO)] * 4
    asked = (
        store.accept(ann, a_message(chat), None, process, NOW)
        for chat, (store, process) in zip(chats, places, strict=True)
    )
    ends = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(each, Accepted) for each in ends) == 3
    assert sum(isinstance(each, TooManyRuns) for each in ends) == 5


async def test_who_joins_a_run_again_is_not_counted(stores: Stores, ann: Owner) -> None:
    await fill(stores, ann, active=LIMITS.active - 1)
    chat, key = await stores.session(ann), a_key()
    made = await stores.send(ann, chat, key=key)
    assert (await stores.send(ann, chat, key=key)).run.id == made.run.id
    await refused(TooManyRuns, stores.send(ann, await stores.session(ann)))


async def test_retry_counts_like_a_message(stores: Stores, ann: Owner) -> None:
    chat = await stores.session(ann)
    failed = await failed_run(stores, ann, chat)
    await fill(stores, ann, active=LIMITS.active)
    await refused(TooManyRuns, retry(stores, ann, failed.run_id))
    # Nothing is left of it: the key is free, and the run still to be retried.
    assert await stores.execute(sa.select(runs.c.id).where(runs.c.retry_of == failed.run_id)) == []
