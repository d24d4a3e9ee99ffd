"""What must hold of planned runs after every fault: what was done is not done again, what was not is."""

from collections.abc import Iterable, Mapping, Sequence

from tests.e2e.events import Event
from tests.e2e.faults import acting
from tests.e2e.faults.errands import Part, ends_of
from tests.e2e.faults.ledger import EventRow, RunRow, TaskRow
from tests.e2e.plans import Errand, tellable, told, usage_of
from tests.fakes.openai_script import Script
from tests.fakes.openai_server import Exchange


def part_of(run: RunRow, tasks: Sequence[TaskRow]) -> Part | None:
    """What a planned run is at; None if that is nothing, or it is no planned run."""
    if not run.planned or not run.leased:
        return None
    if not tasks:
        return "planning"
    return "combining" if all(task.state == "SUCCEEDED" for task in tasks) else "working"


def stayed_done(before: Mapping[str, Sequence[TaskRow]], after: Mapping[str, Sequence[TaskRow]]) -> list[str]:
    """What had succeeded when the fault struck is as it was."""
    now = {(task.run_id, task.id): task for tasks in after.values() for task in tasks}
    done = [task for tasks in before.values() for task in tasks if task.state == "SUCCEEDED"]
    return [f"was {task} and is {now[task.run_id, task.id]}" for task in done if now[task.run_id, task.id] != task]


def asked_once(
    errand: Errand,
    run: RunRow,
    tasks: Sequence[TaskRow],
    events: Sequence[EventRow],
    exchanges: Sequence[Exchange],
    offset: float,
    spares_runs: bool,
) -> list[str]:
    """The model planned until there was a plan, did each task for each attempt at most once and never after it was
    done, nor before what it builds on was, and combined once all of them were.

    `offset`: from the exchanges' clock to Unix time.
    """
    wrong: list[str] = []
    succeeded = run.state == "SUCCEEDED"
    planning = [each for each in exchanges if each.kind == "planning"]
    combining = [each for each in exchanges if each.kind == "combining"]
    begun = next((event.at for event in events if event.type == "plan_created"), None)
    wrong += [f"planned again {each} s after there was a plan" for each in _later(planning, begun, offset)]
    rows = {task.id: task for task in tasks}
    asked = _by_task(errand, exchanges)
    if set(rows) not in (set(), set(asked)):
        wrong.append(f"has other tasks than {sorted(asked)}: {tasks}")
        return _about(errand, run, wrong)
    for step in errand.steps:
        if rows:
            wrong += _did_once(rows[step.id], step.script, asked[step.id], offset, spares_runs)
            wrong += _waited(asked[step.id], [rows[id] for id in step.depends_on], offset, step.id)
    wrong += _waited(combining, tasks, offset, "combining")
    if succeeded:
        if any(task.state != "SUCCEEDED" for task in tasks):
            wrong.append(f"succeeded without all of its tasks: {tasks}")
        several = len(ends_of(errand)) > 1
        counts = (len(planning), len(combining))
        least = (1, 1 if several else 0)
        if any(count < one for count, one in zip(counts, least, strict=True)) or (combining and not several):
            wrong.append(f"planned and combined {counts} times, not {least}")
        elif spares_runs and counts != least:
            wrong.append(f"planned and combined {counts} times, not {least}, and nobody was hurt")
        wrong += _usage(run, tasks, planning, combining, exactly=spares_runs)
    return _about(errand, run, wrong)


def drawn_as_told(run: Event, *heard: Iterable[Event]) -> list[str]:
    """GetRun, and each who heard all of the run's events, know the same graph and the same end."""
    wrong = []
    graph = tellable(run["plan"]["tasks"])
    for events in (list(each) for each in heard):
        if told(events) != graph:
            wrong.append(f"run {run['id']} has the tasks {graph}, and who heard {events} knows {told(events)}")
        final = events[-1]
        end = {
            "orchestration_completed": "succeeded" if final["payload"].get("success") else "failed",
            "run_failed": "failed",
            "run_cancelled": "cancelled",
        }[final["type"]]
        if (run["state"], run["message_id"]) != (end, (final["payload"].get("message") or {}).get("id")):
            wrong.append(f"run {run['id']} is {run['state']} with {run['message_id']}, and its end was {final}")
    return wrong


def _by_task(errand: Errand, exchanges: Sequence[Exchange]) -> dict[str, list[Exchange]]:
    of_task = [each for each in exchanges if each.kind == "task"]
    instructions = {task["id"]: task["instruction"] for task in errand.plan["tasks"]}
    return {id: [each for each in of_task if each.user_text == said] for id, said in instructions.items()}


def _did_once(task: TaskRow, script: Script, asked: Sequence[Exchange], offset: float, spares_runs: bool) -> list[str]:
    succeeded = task.state == "SUCCEEDED"
    found = acting.asked_once(script, task.attempt, succeeded, asked, spares_runs)
    wrong = [f"{each} for {task}" for each in found]
    if succeeded:
        if task.output != script.answer:
            wrong.append(f"gave other words than {script.answer!r}: {task}")
        wrong += [f"did {task} again {each} s after it was done" for each in _later(asked, task.finished_at, offset)]
    return wrong


def _waited(asked: Sequence[Exchange], before: Iterable[TaskRow], offset: float, name: str) -> list[str]:
    return [
        f"{name} began before {task} was done"
        for task in before
        for each in asked
        if task.state != "SUCCEEDED" or task.finished_at is None or each.received_at + offset < task.finished_at
    ]


def _usage(
    run: RunRow, tasks: Sequence[TaskRow], planning: Sequence[Exchange], combining: Sequence[Exchange], *, exactly: bool
) -> list[str]:
    """What the run cost is at least what its tasks did, with one plan, and one answer made of several results."""
    whole = usage_of([*planning[-1:], *combining[-1:]])
    beside = (whole["prompt_tokens"], whole["completion_tokens"], whole["model_calls"])
    least = tuple(map(sum, zip(beside, *(task.usage for task in tasks), strict=True)))
    counted = run.usage == least if exactly else all(have >= one for have, one in zip(run.usage, least, strict=True))
    return [] if counted else [f"cost {run.usage}, and its parts {least}"]


def _later(asked: Sequence[Exchange], done_at: float | None, offset: float) -> list[str]:
    """How many seconds after this moment the model was asked."""
    if done_at is None:
        return []
    late = [each.received_at + offset - done_at for each in asked]
    return [f"{seconds:.3f}" for seconds in late if seconds > 0]


def _about(errand: Errand, run: RunRow, wrong: Iterable[str]) -> list[str]:
    return [f"{errand.marker} {each}: {run}" for each in wrong]
