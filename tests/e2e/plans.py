"""Plans that the fake model is told to make, what it was asked for them, and graphs as their watchers know them."""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.client import AGENT
from tests.e2e.events import Event
from tests.fakes.openai_script import Script, plan_directive, script_of
from tests.fakes.openai_server import Exchange, FakeModel

OVER = ("succeeded", "failed", "skipped")
# What no event tells of a task that was stopped with its run.
_UNTOLD = ("finished_at", "usage")


@dataclass(frozen=True)
class Step:
    """A task of a plan. `script` is how it goes."""

    id: str
    depends_on: Sequence[str] = ()
    script: Script = field(default_factory=Script)
    agent: str = AGENT
    says: str = ""

    def values(self, marker: str) -> dict[str, Any]:
        """The task as a model writes it; the marker stands in its instruction."""
        instruction = f"{self.says or f'Do {self.id}.'} {marker} {self.script.directive()}"
        title = f"Part {self.id}"
        return {
            "id": self.id,
            "agent": self.agent,
            "title": title,
            "instruction": instruction,
            "depends_on": [*self.depends_on],
        }


def giving(answer: str, **how: Any) -> Script:
    """A script with this answer."""
    return Script(answer=answer, **how)


@dataclass(frozen=True)
class Errand:
    """A message that is planned, and what the model was asked for it: it has the marker, and so have its tasks."""

    steps: Sequence[Step]
    combining: Script | None = None
    planning: Script | None = None
    marker: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def content(self) -> str:
        """The message."""
        parts = [f"Do all of {self.marker}.", plan_directive(self.plan)]
        parts += [] if self.combining is None else [self.combining.directive("combining")]
        parts += [] if self.planning is None else [self.planning.directive("planning")]
        return " ".join(parts)

    @property
    def plan(self) -> dict[str, Any]:
        """What the model answers when it is to plan."""
        return {"tasks": [step.values(self.marker) for step in self.steps]}

    def asked(self, model: FakeModel, id: str) -> list[Exchange]:
        """The requests to do this task, oldest first."""
        [instruction] = [task["instruction"] for task in self.plan["tasks"] if task["id"] == id]
        return [each for each in model.exchanges(self.marker, "task") if each.user_text == instruction]

    def planned(self, model: FakeModel) -> list[Exchange]:
        """The requests for a plan."""
        return model.exchanges(self.marker, "planning")

    def combined(self, model: FakeModel) -> list[Exchange]:
        """The requests to make one answer of the results."""
        return model.exchanges(self.marker, "combining")


def said(exchange: Exchange) -> str:
    """All that the model was told, as one text."""
    return "\n".join(str(message["content"]) for message in exchange.body["messages"])


def asked_about(exchange: Exchange) -> dict[str, Any]:
    """The JSON object that a request to plan, or to combine, is about."""
    values: dict[str, Any] = json.loads(exchange.body["messages"][-1]["content"])
    return values


def usage_of(exchanges: Iterable[Exchange]) -> dict[str, int]:
    """What answers to these cost, as the fake model counts: words."""
    total = {"prompt_tokens": 0, "completion_tokens": 0, "model_calls": 0}
    for exchange in exchanges:
        words = sum(len(str(message["content"]).split()) for message in exchange.body["messages"])
        cost = (words, len(script_of(exchange.body).text.split()), 1)
        total = {name: total[name] + more for name, more in zip(total, cost, strict=True)}
    return total


def states(run: Mapping[str, Any]) -> dict[str, str]:
    """Where each task of a run stands."""
    return {task["id"]: task["state"] for task in run["plan"]["tasks"]}


def told(events: Iterable[Event]) -> list[Event]:
    """The tasks as somebody knows them who has seen a run's events alone; without what no event tells."""
    tasks: dict[str, Event] = {}
    for event in events:
        payload = event["payload"]
        match event["type"]:
            case "plan_created":
                tasks = {task["id"]: task for task in payload["plan"]["tasks"]}
            case "task_started" | "task_completed" | "task_skipped" | "task_failed":
                tasks[payload["task"]["id"]] = payload["task"]
        if event["final"]:
            stopped = {id: task | {"state": "cancelled"} for id, task in tasks.items() if task["state"] not in OVER}
            tasks |= stopped
    return tellable(tasks.values())


def tellable(tasks: Iterable[Event]) -> list[Event]:
    """The tasks without what no event tells of them."""
    return [
        {name: value for name, value in task.items() if name not in _UNTOLD or task["state"] != "cancelled"}
        for task in tasks
    ]
