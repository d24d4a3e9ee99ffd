"""Tasks that wait: where they go on, what their users are asked, and what they are told then."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

from services.orchestrator.leases import Lease
from services.orchestrator.model import Approval, ApprovalKind, ApprovalState, Question, Task
from services.orchestrator.ports import Answer, Paused

_REJECTED = "The user rejected this call{why}. Respect that: do not try to reach the same in another way."
_EXPIRED = "The user did not approve this call in time, so it was not made. Go on without it, or say what it was for."


@dataclass(frozen=True)
class Pause:
    """Where a task goes on: what the agents service gave, and what other agents have answered meanwhile."""

    state: str
    done: tuple[Answer, ...] = ()

    @classmethod
    def load(cls, kept: str) -> "Pause":
        """What `dump` gave."""
        values = json.loads(kept)
        return cls(values["state"], tuple(Answer(**each) for each in values["done"]))

    def dump(self) -> str:
        """All of it as text."""
        return json.dumps({"state": self.state, "done": [asdict(each) for each in self.done]}, ensure_ascii=False)


def resumed(lease: Lease, task: Task) -> Pause:
    """Where the task goes on, and all that became of what it waited for; at its beginning if it never paused."""
    kept = lease.paused.get(task.id)
    if kept is None:
        return Pause("")
    pause = Pause.load(kept)
    return Pause(pause.state, (*pause.done, *_decided(each for each in lease.decisions if each.task_id == task.id)))


def questions_of(task: Task, paused: Paused, expires_at: datetime) -> list[Question]:
    """What the user is asked, in the order of the calls."""
    agent = {"agent_id": task.agent_id, "agent_name": task.agent_name}
    return [
        Question(each.call_id, ApprovalKind.TOOL, {**each.payload, **agent}, expires_at, each.schema)
        for each in paused.wanted
    ]


def _decided(approvals: Iterable[Approval]) -> Iterable[Answer]:
    for approval in approvals:
        match approval.state:
            case ApprovalState.APPROVED:
                yield Answer(approval.id, "approved", arguments=approval.changed)
            case ApprovalState.REJECTED:
                why = f": {approval.reason}" if approval.reason else ""
                yield Answer(approval.id, "refused", _REJECTED.format(why=why))
            case ApprovalState.EXPIRED:
                yield Answer(approval.id, "refused", _EXPIRED)
