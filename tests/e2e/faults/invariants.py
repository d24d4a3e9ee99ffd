"""What must hold after every fault. Each check returns what it found wrong, in words."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from tests.e2e.client import FINAL_STATES, Chat, answer
from tests.e2e.events import Event
from tests.e2e.faults import acting, planned
from tests.e2e.faults.ledger import (
    EventRow,
    Ledger,
    RunRow,
    TaskRow,
    approvals_of,
    effects_of,
    events_of,
    runs_of,
    tasks_of,
)
from tests.e2e.faults.load import Load, Sent
from tests.e2e.polling import eventually
from tests.fakes.openai_server import Exchange, FakeModel

SETTLES_WITHIN = 45.0
# Longer than the sweeper leaves events to the process that is to publish them, and then looks.
TOLD_WITHIN = 25.0
FAILURES = frozenset({"RUN_ABANDONED", "AGENTS_UNAVAILABLE"})
"""Why a run may fail here: it was taken over too often, or no agents service was there for all of its attempts."""
# A replica that does not execute the run tells the one that does at its next heartbeat.
CANCELLED_WITHIN = 1.5


async def every_run_ends(ledger: Ledger, load: Load) -> list[str]:
    """Wait for it."""
    sessions = [chat.session_id for chat in load.chats]
    deadline = time.monotonic() + SETTLES_WITHIN
    while unfinished := [run for run in await runs_of(ledger, sessions) if not run.over]:
        if time.monotonic() > deadline:
            return [f"stuck after {SETTLES_WITHIN:g} s: {run}" for run in unfinished]
        await asyncio.sleep(0.05)
    return []


async def all_was_done_once(
    ledger: Ledger,
    load: Load,
    model: FakeModel,
    seen: Counter[str],
    *,
    before: Mapping[str, Sequence[TaskRow]],
    spares_runs: bool,
) -> list[str]:
    """Runs, histories, agents and the model's exchanges, once every run is over.

    `before`: the tasks of runs when the fault struck.
    `spares_runs`: the fault touched nobody who asks the model, so that every run asked it exactly once.
    """
    runs = await runs_of(ledger, [chat.session_id for chat in load.chats])
    events = await events_of(ledger, [run.id for run in runs])
    tasks = await tasks_of(ledger, [run.id for run in runs])
    wrong = planned.stayed_done(before, tasks)
    for chat in load.chats:
        mine = [sent for sent in load.sent if sent.chat is chat]
        in_session = [run for run in runs if run.session_id == chat.session_id]
        if len(in_session) != len(mine):
            wrong.append(f"session {chat.session_id} has {len(in_session)} runs for {len(mine)} messages: {in_session}")
            continue
        for sent, run in zip(mine, in_session, strict=True):
            kind = "planned run" if run.planned else "run"
            seen[f"{kind} {run.state} {run.reason or ''}".strip()] += 1
            if sent.run_id not in (None, run.id):
                wrong.append(f"{sent.marker} was promised run {sent.run_id} and became {run}")
            wrong += _ended_well(sent, run)
            exchanges = model.exchanges(sent.marker)
            wrong += _left_in_peace(sent, run, events[run.id], exchanges)
            if sent.errand is None:
                succeeded = run.state == "SUCCEEDED"
                found = acting.asked_once(sent.script, run.begun, succeeded, exchanges, spares_runs)
                wrong += [f"{sent.marker} {each}: {run}" for each in found]
            else:
                own = (run, tasks.get(run.id, []), events[run.id])
                wrong += planned.asked_once(sent.errand, *own, exchanges, _unix_offset(), spares_runs)
        wrong += await _history(chat, mine, in_session)
    wrong += await _nothing_is_left(load)
    wrong += await _model_is_left_alone(load, model)
    return wrong


async def all_was_done_as_decided(
    ledger: Ledger, agents: Ledger, workspaces: Path, load: Load, seen: Counter[str]
) -> list[str]:
    """What agents did, by their journal and by the files in the workspaces, once every run is over."""
    runs = {run.id: run for run in await runs_of(ledger, [chat.session_id for chat in load.chats])}
    approvals, effects = await approvals_of(ledger, runs), await effects_of(agents, runs)
    events = await events_of(ledger, runs)
    wrong = []
    for sent in load.sent:
        run = runs.get(sent.run_id or "")
        if sent.action is None or run is None:
            continue
        asked, done = approvals.get(run.id, []), effects.get(run.id, {})
        text = acting.file_of(workspaces, sent.chat.project_id, sent.action)
        wrong += acting.done_as_decided(sent.action, run, events[run.id], asked, done, text)
        seen.update(f"approval {each.state}" for each in asked)
        seen.update(f"call {'of unknown end' if each.success is None else 'made'}" for each in done.values())
    return wrong


async def all_was_told_once(ledger: Ledger, load: Load, *, streams_lived: bool) -> list[str]:
    """Every run's end is in its timeline once, published, and in its session's stream once.

    Who watched through a death of the streams service was told to read again; for them the timeline counts.
    """
    wrong = [watcher.violation for watcher in load.watchers if watcher.violation]
    runs = await runs_of(ledger, [chat.session_id for chat in load.chats])
    ids = [run.id for run in runs]
    deadline = time.monotonic() + TOLD_WITHIN
    while untold := _untold(events := await events_of(ledger, ids)):
        if time.monotonic() > deadline:
            return [*wrong, *(f"never published: {event}" for event in untold)]
        await asyncio.sleep(0.2)
    watchers = {watcher.chat.session_id: watcher for watcher in load.watchers}
    for run in runs:
        wrong += _timeline(run, events[run.id])
        watcher = watchers[run.session_id]
        if streams_lived:
            await watcher.hears_the_end(run.id, deadline - time.monotonic())
            if watcher.ends(run.id) != [events[run.id][-1].published]:
                wrong.append(f"whoever watches heard {watcher.ends(run.id)} as the end of {events[run.id][-1]}")
            if watcher.resyncs:
                wrong.append(f"session {run.session_id} had to resync, and its stream lived")
        path = f"{watcher.chat.project_path}/runs/{run.id}:events"
        told = (await _asked(watcher.chat, path, page_size=200))["events"]
        if [event["id"] for event in told] != [event.published for event in events[run.id]]:
            wrong.append(f"the timeline tells {told}, and there is {events[run.id]}")
        elif run.planned:
            shown = await _asked(watcher.chat, f"{watcher.chat.project_path}/runs/{run.id}")
            heard = [event for event in watcher.watch.events if event["run_id"] == run.id]
            wrong += planned.drawn_as_told(shown, told, *([heard] if streams_lived else []))
    return wrong


def _ended_well(sent: Sent, run: RunRow) -> list[str]:
    well = {
        "SUCCEEDED": True,
        "FAILED": run.reason in FAILURES,
        "CANCELLED": sent.may_be_cancelled,
    }
    wrong = [] if well.get(run.state) else [f"{sent.way} {sent.marker} ended as {run}"]
    if run.owner is not None:
        wrong.append(f"still owned: {run}")
    return wrong


def _left_in_peace(sent: Sent, run: RunRow, events: Sequence[EventRow], exchanges: Sequence[Exchange]) -> list[str]:
    """The model was never asked after the end was committed."""
    late = CANCELLED_WITHIN if run.state == "CANCELLED" else 0.0
    after = [exchange.received_at + _unix_offset() - events[-1].at for exchange in exchanges]
    return [
        f"{sent.marker} ran again {seconds:.3f} s after its end: {run} {events}" for seconds in after if seconds > late
    ]


def _unix_offset() -> float:
    """From the exchanges' clock to Unix time: of clocks only the wall's is told by the services."""
    return time.time() - time.monotonic()


async def _history(chat: Chat, sent: Sequence[Sent], runs: Sequence[RunRow]) -> list[str]:
    """Every message once, in order, each answer once, right behind its message."""
    expected = []
    for message, run in zip(sent, runs, strict=True):
        expected.append(("user", run.id, message.content))
        if run.state == "SUCCEEDED":
            expected.append(("assistant", run.id, message.expected))
    page = await _asked(chat, f"{chat.session_path}/messages", page_size=200)
    found = [(each["role"], each["run_id"], each["content"]) for each in page["messages"]]
    return [] if found == expected else [f"session {chat.session_id} reads {found} and not {expected}"]


async def _nothing_is_left(load: Load) -> list[str]:
    wrong: list[str] = []
    for chat in {chat.project_id: chat for chat in load.chats}.values():
        states = ["queued", "planning", "running", "waiting_approval"]
        left = await _asked(chat, f"{chat.project_path}/runs", state=states)
        wrong += [f"left {run['state']}: {run}" for run in left["runs"] if run["state"] not in FINAL_STATES]
        # Replicas are asked in turn, and each answers for itself.
        for _ in range(2):
            agents = await _asked(chat, f"{chat.project_path}/agents")
            wrong += [f"agent {each['name']} is left {each['status']}" for each in agents["agents"]
                      if each["status"] != "ready"]  # fmt: skip
    return wrong


async def _model_is_left_alone(load: Load, model: FakeModel) -> list[str]:
    deadline = time.monotonic() + CANCELLED_WITHIN
    while open_now := [sent.marker for sent in load.sent if model.open_now(sent.marker)]:
        if time.monotonic() > deadline:
            return [f"{marker} still asks the model" for marker in open_now]
        await asyncio.sleep(0.05)
    return []


def _untold(events: Mapping[str, Sequence[EventRow]]) -> list[EventRow]:
    return [event for of_run in events.values() for event in of_run if event.published is None]


def _timeline(run: RunRow, events: Sequence[EventRow]) -> list[str]:
    wrong: list[str] = []
    if [event.final for event in events] != [False] * (len(events) - 1) + [True]:
        wrong.append(f"has not one end: {run} {events}")
    if [event.n for event in events] != list(range(1, len(events) + 1)):
        wrong.append(f"events are missing: {run} {events}")
    if len({event.published for event in events}) != len(events):
        wrong.append(f"two events under one id: {run} {events}")
    return wrong


async def _asked(chat: Chat, path: str, **query: str | int | list[str]) -> Event:
    """An answer, as soon as there is one: the next fault may have struck, or the door looks for who is back."""

    async def there() -> httpx.Response | None:
        with contextlib.suppress(httpx.TransportError):
            response = await chat.http.get(path, params=query)
            return None if response.status_code in (503, 504) else response
        return None

    async def got() -> httpx.Response:
        response: httpx.Response = await eventually(there, within=SETTLES_WITHIN, what=f"an answer from {path}")
        return response

    return await answer(got())
