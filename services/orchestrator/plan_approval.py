"""Plans that their user changes before they run."""

import json
from typing import Any

from services.orchestrator.model import Agent
from services.orchestrator.plan_checks import Bad, Good, read_plan
from services.runtime.errors import InvalidArgument


def checked_plan(schema: dict[str, Any], plan: dict[str, Any]) -> dict[str, Any]:
    """The plan as it is kept, `schema` as in Question. Raise InvalidArgument if it is none of these agents'."""
    agents = [Agent(each["id"], each["name"]) for each in schema["agents"]]
    match read_plan(json.dumps(plan), agents, schema["max_tasks"]):
        case Bad(problems):
            raise InvalidArgument(*(("plan", problem.detail) for problem in problems))
        case Good(tasks):
            return {
                "tasks": [
                    {
                        "id": task.id,
                        "agent": task.agent_name,
                        "title": task.title,
                        "instruction": task.instruction,
                        "depends_on": list(task.depends_on),
                    }
                    for task in tasks
                ]
            }
