"""Run by test_installed_client where nothing but the client is installed: prints what it sees, a line each."""

import asyncio
import contextlib
import importlib.util
import sys

from codelab.orchestrator.v1.run_service_pb2 import SendMessageRequest
from codelab.orchestrator.v1.session_service_pb2 import CreateSessionRequest
from codelab.projects.v1.project_pb2 import Project
from codelab.projects.v1.project_service_pb2 import CreateProjectRequest, GetProjectRequest

from codelab_client import ApiError, Client


async def main(backends: str, token: str) -> None:
    async with asyncio.timeout(60), Client(backends, token=token) as client:
        created = await client.projects.CreateProject(CreateProjectRequest(project=Project(name="From a client")))
        project_id = created.project.id
        session_id = (await client.sessions.CreateSession(CreateSessionRequest(project_id=project_id))).session.id
        try:
            await client.projects.GetProject(GetProjectRequest(project_id=session_id))
        except ApiError as error:
            say("refused", error.reason)
        sending = SendMessageRequest(
            project_id=project_id, session_id=session_id, content="Hello.", target_agent="CodeAssistant"
        )
        async with contextlib.aclosing(client.subscribe(project_id, session_id, after="start")) as events:
            say("answer", (await client.runs.SendMessage(sending)).message.content)
            async for event in events:
                if event.final:
                    break
            say("watching")
            # What is published while the streams service is down, and when it is back, comes here too.
            async for event in events:
                say(event.WhichOneof("payload") or "")
                if event.WhichOneof("payload") == "resync_required":
                    await client.runs.SendMessage(sending)
                elif event.final:
                    break


def say(*words: str | None) -> None:
    print(*words, flush=True)


for module in sys.argv[3:]:
    if importlib.util.find_spec(module) is not None:
        sys.exit(f"{module} can be imported")
asyncio.run(main(sys.argv[1], sys.argv[2]))
