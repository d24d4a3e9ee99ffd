"""What a Python developer writes on top of the generated client. It has to pass mypy strictly, and then to work."""

import json
import os
from typing import TypeVar

from codelab_api import AuthenticatedClient
from codelab_api.api.agent import agent_service_list_agents
from codelab_api.api.project import (
    project_service_create_project,
    project_service_get_project,
    project_service_list_projects,
)
from codelab_api.api.run import run_service_list_run_events, run_service_send_message
from codelab_api.api.session import session_service_create_session
from codelab_api.models import (
    EventAgentCompleted,
    EventMessageReceived,
    Problem,
    ProjectInput,
    SendMessageRequestInput,
    SessionInput,
)

Answer = TypeVar("Answer")


def given(answer: Answer | Problem | None) -> Answer:
    if answer is None or isinstance(answer, Problem):
        raise SystemExit(f"refused: {answer}")
    return answer


def main() -> None:
    client = AuthenticatedClient(base_url=os.environ["CODELAB_URL"], token=os.environ["CODELAB_TOKEN"])
    project = given(project_service_create_project.sync(client=client, body=ProjectInput(name="Typed")))
    listed = given(project_service_list_projects.sync(client=client, page_size=200))
    label: str | None = project.workspace_path
    agents = given(agent_service_list_agents.sync(project.id, client=client))
    session = given(session_service_create_session.sync(project.id, client=client, body=SessionInput()))
    sending = SendMessageRequestInput(content="Good day", target_agent=agents.agents[0].name)
    message = given(run_service_send_message.sync(project.id, session.id, client=client, body=sending))
    assert message.run_id is not None
    timeline = given(run_service_list_run_events.sync(project.id, message.run_id, client=client))
    told = []
    for event in timeline.events:
        if isinstance(event, EventMessageReceived):
            told.append(f"{event.payload.message.role}: {event.payload.message.content}")
        elif isinstance(event, EventAgentCompleted):
            told.append(f"{event.payload.agent_name} took {event.payload.duration_ms:d} ms")
        else:
            told.append(event.type_)
    missing = project_service_get_project.sync(session.id, client=client)
    print(
        json.dumps(
            {
                "listed": project.id in [each.id for each in listed.projects],
                "label": label,
                "role": message.role,
                "events": told,
                "missing": missing.reason if isinstance(missing, Problem) else None,
            }
        )
    )


main()
