"""How the offline model plans a request, and how it brings results together: it reads what the prompts say as JSON."""

import json
from typing import Any

from services.agents.models import ModelRequest
from services.agents.offline_words import as_quotation, in_a_line, with_advice

_REQUEST_CHARACTERS = 200
_RESULT_CHARACTERS = 200
_LINE_CHARACTERS = 300

_COMBINATION = """\
I am the offline model that is built into CodeLab, not a language model: I can show you that your request became a \
plan and what its tasks gave, but I cannot make one answer of it.

You asked:

{question}

"""


def offline_plan(request: ModelRequest) -> str:
    """A valid plan for the first three agents: two at once and one that brings it together.

    For two agents one task after the other, for one agent one task; no more than the request permits.
    """
    asked = json.loads(request.messages[-1].content)
    about = f'"{in_a_line(asked["request"], _REQUEST_CHARACTERS)}"'
    agents = [agent["name"] for agent in asked["agents"]][: min(3, max(1, asked["max_tasks"]))]
    match agents:
        case [one]:
            tasks = [_task("a", one, "Answer", f"Answer this request: {about}")]
        case [first, second]:
            tasks = [
                _task("a", first, "First draft", f"Draft an answer to this request: {about}"),
                _task("b", second, "Final answer", f"Improve the draft and finish the answer to: {about}", "a"),
            ]
        case [first, second, third]:
            tasks = [
                _task("a", first, f"{first}'s view", f"Work out your part of an answer to this request: {about}"),
                _task("b", second, f"{second}'s view", f"Work out your part of an answer to this request: {about}"),
                _task("c", third, "Final answer", f"Bring both views together in one answer to: {about}", "a", "b"),
            ]
        case _:
            tasks = []
    return json.dumps({"tasks": tasks}, ensure_ascii=False, indent=2)


def offline_combination(request: ModelRequest) -> str:
    """What came of the request: the beginning of each result under its title, and what failed."""
    asked = json.loads(request.messages[-1].content)
    parts = [_COMBINATION.format(question=as_quotation(request.asked))]
    for each in asked["results"]:
        title = in_a_line(each["title"], _LINE_CHARACTERS)
        parts.append(f"**{title}**\n\n{as_quotation(each['result'], _RESULT_CHARACTERS)}\n\n")
    if failed := asked.get("failed"):
        lines = [
            f"- {in_a_line(each['title'], _LINE_CHARACTERS)}: {in_a_line(each['detail'], _LINE_CHARACTERS)}\n"
            for each in failed
        ]
        parts.append(f"These parts failed, and are missing here:\n\n{''.join(lines)}\n")
    return with_advice("".join(parts))


def _task(name: str, agent: str, title: str, instruction: str, *depends_on: str) -> dict[str, Any]:
    return {"id": name, "agent": agent, "title": title, "instruction": instruction, "depends_on": list(depends_on)}
