"""An agent's tasks in progress: what comes of them and what is seen of their agent and its model."""

import grpc
from codelab.agents.v1 import agent_pb2, execution_service_pb2

from tests.agents.calls import Agents, Execution, User
from tests.e2e.polling import eventually
from tests.fakes.openai_script import Script
from tests.fakes.openai_server import FakeModel

Event = execution_service_pb2.ExecuteResponse
HANG = f"Take your time. {Script(fault='hang').directive()}"
SLOW = f"Slowly. {Script(answer='abcdefghijklmnopqrst' * 5, chunks=100, token_seconds=0.2).directive()}"


async def make(agents: Agents, user: User, name: str = "Worker", **config: int | str | float) -> str:
    agent = agent_pb2.Agent(name=name, config=agent_pb2.AgentConfig(**config))  # type: ignore[arg-type]
    return (await agents.create(user, agent)).id


def kinds(events: list[Event]) -> list[str]:
    """The events' names, with their status or phase; deltas are joined into one."""
    names: list[str] = []
    for event in events:
        name = event.WhichOneof("event") or ""
        if name == "status_changed":
            name = agent_pb2.AgentStatus.Name(event.status_changed.status).removeprefix("AGENT_STATUS_").lower()
        if name == "working":
            name = agent_pb2.WorkPhase.Name(event.working.phase).removeprefix("WORK_PHASE_").lower()
        if names[-1:] != ["delta"] or name != "delta":
            names.append(name)
    return names


async def until(call: Execution, kind: str) -> list[Event]:
    """Read until an event of this kind has come."""
    read: list[Event] = []
    while kinds(read)[-1:] != [kind]:
        event = await call.read()
        assert event is not grpc.aio.EOF
        read.append(event)
    return read


async def status(agents: Agents, user: User, agent_id: str) -> str:
    return agent_pb2.AgentStatus.Name((await agents.get(user, agent_id)).status)


async def becomes_ready(agents: Agents, user: User, agent_id: str) -> None:
    async def ready() -> bool:
        return await status(agents, user, agent_id) == "AGENT_STATUS_READY"

    await eventually(ready, within=10.0)


async def closed(model: FakeModel) -> None:
    """The model's first request was given up. The model, in its own thread, notices a moment later."""
    await eventually(lambda: model.exchanges()[0].outcome == "closed_by_client", within=10.0)
