"""A message that says how the fake model plans it, does each of its tasks, and makes one answer of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.fakes.openai_script import Script, plan_directive
from tests.fakes.openai_server import Exchange


@dataclass(frozen=True)
class ScriptedTask:
    """A task, and how the model does it."""

    id: str
    after: tuple[str, ...] = ()
    script: Script = field(default_factory=Script)
    agent: str = "CodeAssistant"


@dataclass(frozen=True)
class ScriptedPlan:
    """Tasks, each after those it depends on."""

    tasks: Sequence[ScriptedTask]
    planning: Script = field(default_factory=Script)
    combining: Script = field(default_factory=Script)
    """Its answer is the run's, where the plan has several ends."""

    @property
    def ends(self) -> list[ScriptedTask]:
        """The tasks that nothing builds on."""
        built_on = {id for task in self.tasks for id in task.after}
        return [task for task in self.tasks if task.id not in built_on]

    @property
    def answer(self) -> str:
        """What the run answers."""
        ends = self.ends
        return ends[0].script.answer if len(ends) == 1 else self.combining.answer

    def message(self, marker: str) -> str:
        """What to send; with the marker begins also what every call to the model asks."""
        tasks = [
            {
                "id": task.id,
                "agent": task.agent,
                "title": f"Task {task.id}",
                "instruction": f"{marker} {task.id} {task.script.directive()}",
                "depends_on": list(task.after),
            }
            for task in self.tasks
        ]
        parts = [marker, plan_directive({"tasks": tasks}), self.planning.directive("planning")]
        return " ".join([*parts, self.combining.directive("combining")])

    def critical_seconds(self, calls: Mapping[str, Exchange]) -> float:
        """The shortest that a run can take that made these calls, by name: the model's own time, as it measured it."""
        done: dict[str, float] = {}
        for task in self.tasks:
            done[task.id] = max((done[id] for id in task.after), default=0.0) + calls[task.id].model_seconds
        combining = calls["combining"].model_seconds if len(self.ends) > 1 else 0.0
        return calls["planning"].model_seconds + max(done.values()) + combining


def calls_by_marker(exchanges: Iterable[Exchange]) -> dict[str, dict[str, Exchange]]:
    """The model's calls of each message: `planning`, `combining`, and those of the tasks by their ids.

    Of several of one name the last counts.
    """
    found: dict[str, dict[str, Exchange]] = {}
    for exchange in exchanges:
        marker, name, *_ = exchange.user_text.split()
        found.setdefault(marker, {})[name if exchange.kind == "task" else exchange.kind] = exchange
    return found
