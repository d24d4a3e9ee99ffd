"""Between protobuf and what several servicers speak of."""

from collections.abc import Iterable
from dataclasses import asdict

from codelab.agents.v1 import execution_service_pb2, planning_service_pb2

from services.agents.agent import Owner
from services.agents.events import AnswerEvent, Completed, Delta, ModelCalled
from services.agents.models import Message, Role
from services.agents.quoting import TaskInput
from services.runtime.auth import current_caller
from services.runtime.messages import fill

_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}


def owner_of(project_id: str) -> Owner:
    """The project, as one of the caller's user."""
    return Owner(current_caller().user_id, project_id)


def history_of(history: Iterable[execution_service_pb2.HistoryMessage]) -> tuple[Message, ...]:
    """The session's messages."""
    return tuple(Message(_ROLES.get(each.role, "user"), each.content) for each in history)


def inputs_of(inputs: Iterable[execution_service_pb2.TaskInput]) -> tuple[TaskInput, ...]:
    """The results of tasks."""
    return tuple(TaskInput(each.title, each.output) for each in inputs)


def fill_answer(
    response: execution_service_pb2.ExecuteResponse | planning_service_pb2.CombineResultsResponse, event: AnswerEvent
) -> None:
    """Set what happened while the model answers."""
    match event:
        case ModelCalled(prompt_tokens):
            response.model_called.prompt_tokens = prompt_tokens
        case Delta(offset, text):
            response.delta.offset = offset
            response.delta.text = text
        case Completed(output, usage):
            fill(response.completed, {"output": output, "usage": asdict(usage)})
            response.completed.SetInParent()
