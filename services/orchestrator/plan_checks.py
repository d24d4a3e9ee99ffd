"""What a model proposed, read as a plan; or what is wrong with it, in words that the model can act upon."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from services.orchestrator.model import Agent, Failure, Task, TaskState
from services.orchestrator.plan_text import NotJson, Number, Object, find_plan

LONGEST_ID = 64
LONGEST_TITLE = 200
LONGEST_INSTRUCTION = 20_000
LONGEST_PROPOSAL = 300_000
"""In code points; the last is far beyond what models write."""
MOST_PROBLEMS = 10
"""Of one proposal: a model that is told more mends no better."""
# PostgreSQL takes neither.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_LONGEST_DETAIL = 400
_LONGEST_QUOTED = 80


@dataclass(frozen=True)
class Good:
    """The tasks of a plan, each after those it depends on, none begun."""

    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Bad:
    """Why a text is no plan: at least one reason, each with a sentence that says what to change.

    `places` are where they are, in the same order, such as `tasks[1].agent`; empty for the text as a whole.
    """

    problems: tuple[Failure, ...]
    places: tuple[str, ...]


_Problem = tuple[str, Failure]
"""With its place."""


def read_plan(text: str, agents: Sequence[Agent], max_tasks: int) -> Good | Bad:
    """Read a plan of at most `max_tasks` tasks for these agents. Never raises, whatever the text.

    Tasks stay in the order in which they are written, as far as their dependencies allow.
    """
    listed = _tasks_in(text, max_tasks)
    if isinstance(listed, tuple):
        return _bad([listed])
    named = {agent.name: agent for agent in agents}
    drafts: list[Task] = []
    problems: list[_Problem] = []
    for index, written in enumerate(listed):
        match _Draft(written, index, named).read():
            case Task() as task:
                drafts.append(task)
            case wrong:
                problems += wrong
    # What is no task yet may be what others depend on: their graph is judged when all of them are tasks.
    if not problems:
        problems += islice(_wrong_graph(drafts), MOST_PROBLEMS)
    return _bad(problems[:MOST_PROBLEMS]) if problems else Good(_in_order(drafts))


def quoted(text: str) -> str:
    """A name that somebody else chose, as a sentence can show it."""
    cut = text if len(text) <= _LONGEST_QUOTED else f"{text[:_LONGEST_QUOTED]}…"
    return f'"{"".join(each if each.isprintable() else "�" for each in cut)}"'


def _tasks_in(text: str, max_tasks: int) -> list[Any] | _Problem:
    """The list of tasks that a text holds, whatever its elements are."""
    if len(text) > LONGEST_PROPOSAL:
        return "", _problem(
            "PLAN_TOO_LARGE", f"the plan is longer than {LONGEST_PROPOSAL:,} characters: make it shorter"
        )
    try:
        found = find_plan(text)
    except NotJson as error:
        return "", _problem("PLAN_NOT_JSON", str(error))
    if isinstance(found, Object) and "tasks" in found.repeated:
        return "tasks", _malformed('the object has the key "tasks" more than once: give one list of tasks')
    tasks = found.get("tasks") if isinstance(found, Object) else found
    if not isinstance(tasks, list):
        return "tasks", _malformed('the object must have the key "tasks" with a list of tasks')
    if not tasks:
        return "tasks", _problem("PLAN_EMPTY", "the list of tasks is empty: a plan has at least one")
    if len(tasks) > max_tasks:
        too_many = f"the plan has {len(tasks)} tasks: combine them into at most {max_tasks}"
        return "tasks", _problem("PLAN_TOO_LARGE", too_many)
    return tasks


class _Draft:
    """A task as the model wrote it, and what is wrong with it."""

    def __init__(self, written: object, index: int, agents: Mapping[str, Agent]) -> None:
        self._written = written
        self._agents = agents
        self._problems: list[_Problem] = []
        self._place = f"tasks[{index}]"
        self._called = f"task {index + 1}"

    def read(self) -> Task | list[_Problem]:
        """The task, or the problems, at least one."""
        if not isinstance(self._written, Object):
            wrong = _malformed(f"{self._called} must be an object with the keys id, agent, title and instruction")
            return [(self._place, wrong)]
        fields = self._written
        for key in islice(fields.repeated, 1):
            self._wrong("", f"has the key {quoted(key)} more than once: give it once")
        id = self._id(fields.get("id"))
        agent = self._agent(fields.get("agent"))
        title = self._text("title", fields.get("title"))
        instruction = self._text("instruction", fields.get("instruction"))
        if len(instruction) > LONGEST_INSTRUCTION:
            self._wrong(
                ".instruction",
                f"has an instruction of {len(instruction)} characters: it must have at most {LONGEST_INSTRUCTION}",
            )
        depends_on = self._dependencies(fields.get("depends_on"))
        if self._problems or agent is None:
            return self._problems
        return Task(
            id=id,
            agent_id=agent.id,
            agent_name=agent.name,
            title=_one_line(title),
            instruction=instruction,
            state=TaskState.PENDING,
            attempt=0,
            depends_on=depends_on,
        )

    def _wrong(self, place: str, what: str, reason: str = "PLAN_MALFORMED") -> None:
        self._problems.append((self._place + place, _problem(reason, f"{self._called} {what}")))

    def _id(self, value: object) -> str:
        id = _as_id(value)
        if id is None:
            self._wrong(".id", 'must have an id: a short text such as "research"')
        elif len(id) > LONGEST_ID or not id.isprintable():
            self._wrong(".id", f"must have an id of at most {LONGEST_ID} printable characters")
        else:
            self._called = f"task {quoted(id)}"
            return id
        return ""

    def _agent(self, value: object) -> Agent | None:
        if type(value) is not str:
            self._wrong(".agent", "must have an agent: the exact name of one, as a text")
            return None
        if value not in self._agents:
            offered = ", ".join(quoted(name) for name in self._agents)
            self._wrong(
                ".agent",
                f"names the agent {quoted(value)}, which is none of yours: use one of {offered}",
                "PLAN_UNKNOWN_AGENT",
            )
        return self._agents.get(value)

    def _text(self, field: str, value: object) -> str:
        if type(value) is not str or not value.strip():
            self._wrong(f".{field}", f"must have the key {field} with a text that is not empty")
        elif not _storable(value):
            self._wrong(
                f".{field}", f"has characters in its {field} that are no text: U+0000, or half of a surrogate pair"
            )
        else:
            return value
        return ""

    def _dependencies(self, value: object) -> tuple[str, ...]:
        if value is None:
            return ()
        ids = [_as_id(each) for each in value] if isinstance(value, list) else [None]
        named = tuple(dict.fromkeys(id for id in ids if id is not None))
        if None in ids:
            self._wrong(".depends_on", "must have depends_on as a list of the ids of other tasks, which may be empty")
        return named


def _wrong_graph(tasks: Sequence[Task]) -> Iterator[_Problem]:
    """What is wrong between tasks of which each is right by itself."""
    ids = [task.id for task in tasks]
    twice = [id for id in dict.fromkeys(ids) if ids.count(id) > 1]
    for id in twice:
        second = ids.index(id, ids.index(id) + 1)
        wrong = f"{ids.count(id)} tasks have the id {quoted(id)}: give each its own"
        yield f"tasks[{second}].id", _problem("PLAN_DUPLICATE_TASK", wrong)
    for index, task in enumerate(tasks):
        for id in task.depends_on:
            if id not in ids:
                wrong = (
                    f"task {quoted(task.id)} depends on {quoted(id)}, which is no task of the plan: use ids of other"
                    " tasks in its depends_on"
                )
                yield f"tasks[{index}].depends_on", _problem("PLAN_UNKNOWN_DEPENDENCY", wrong)
    if not twice:
        yield from _cycles(tasks)


def _cycles(tasks: Sequence[Task]) -> Iterator[_Problem]:
    for index, task in enumerate(tasks):
        if task.id in task.depends_on:
            wrong = f"task {quoted(task.id)} depends on itself: remove its own id from its depends_on"
            yield f"tasks[{index}].depends_on", _problem("PLAN_CYCLE", wrong)
    ids = [task.id for task in tasks]
    waits_for = {task.id: [id for id in task.depends_on if id in ids and id != task.id] for task in tasks}
    stuck = _never_ready(waits_for)
    if stuck:
        at, path = next(id for id in waits_for if id in stuck), []
        while at not in path:
            path.append(at)
            at = next(id for id in waits_for[at] if id in stuck)
        circle = [*path[path.index(at) :], at]
        shown = " → ".join(quoted(id) for id in circle)
        wrong = f"tasks depend on each other in a circle: remove one dependency of {shown}"
        yield f"tasks[{ids.index(at)}].depends_on", _problem("PLAN_CYCLE", wrong)


def _never_ready(waits_for: Mapping[str, Sequence[str]]) -> set[str]:
    """The tasks that wait in a circle, or for tasks that do."""
    left = set(waits_for)
    while ready := {id for id in left if left.isdisjoint(waits_for[id])}:
        left -= ready
    return left


def _in_order(tasks: Sequence[Task]) -> tuple[Task, ...]:
    """The tasks of an acyclic graph, each after those it depends on; among those that may be next, as written."""
    ordered: dict[str, Task] = {}
    left = list(tasks)
    while left:
        task = next(each for each in left if ordered.keys() >= set(each.depends_on))
        ordered[task.id] = task
        left.remove(task)
    return tuple(ordered.values())


def _as_id(value: object) -> str | None:
    """What was written as an id, also as a number; None if it is none."""
    if isinstance(value, Number):
        return str(value)
    return value.strip() or None if type(value) is str else None


def _one_line(title: str) -> str:
    line = " ".join(title.split())
    return line if len(line) <= LONGEST_TITLE else f"{line[: LONGEST_TITLE - 1]}…"


def _storable(text: str) -> bool:
    """Whether every database keeps it."""
    return _NO_TEXT.search(text) is None


def _bad(problems: Sequence[_Problem]) -> Bad:
    return Bad(tuple(failure for _, failure in problems), tuple(place for place, _ in problems))


def _malformed(detail: str) -> Failure:
    return _problem("PLAN_MALFORMED", detail)


def _problem(reason: str, detail: str) -> Failure:
    return Failure(reason, detail if len(detail) <= _LONGEST_DETAIL else f"{detail[: _LONGEST_DETAIL - 1]}…")
