"""An agents service whose tasks do what a test says."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from codelab.agents.v1 import agent_pb2, usage_pb2
from codelab.agents.v1 import execution_service_pb2 as pb
from codelab.agents.v1.execution_service_pb2_grpc import ExecutionServiceServicer

from services.runtime.auth import current_caller
from services.runtime.errors import NotFound
from services.runtime.ids import new_id

Context = grpc.aio.ServicerContext[Any, Any]


class Hold:
    """A step: wait until the test lets the execution go on."""


class Vanish:
    """A step: break off without a word, as a process does that is killed."""


HOLD, VANISH = Hold(), Vanish()
Step = str | Exception | Hold | Vanish


class AgentNotFound(NotFound):
    reason = "AGENT_NOT_FOUND"


@dataclass(eq=False)
class Execution:
    """One call of Execute."""

    request: pb.ExecuteRequest
    user_id: str
    go: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: bool = False
    """Whether the caller ended it."""


class ScriptedAgents(ExecutionServiceServicer):
    """Knows one agent, by name or id. A task follows the script of its instruction; without one it echoes."""

    def __init__(self) -> None:
        self.agent_id = new_id()
        self.name = "CodeAssistant"
        self.deleted = False
        self.resolving = asyncio.Event()
        self.may_resolve = asyncio.Event()
        self.may_resolve.set()
        self.executions: list[Execution] = []
        self._scripts: dict[str, list[Sequence[Step]]] = {}
        self._began = asyncio.Condition()

    def script(self, instruction: str, *attempts: Sequence[Step]) -> None:
        """What tasks with this instruction do: one list of steps an attempt, the last one for all that follow."""
        self._scripts[instruction] = list(attempts)

    def of(self, instruction: str) -> list[Execution]:
        """The executions with this instruction, oldest first."""
        return [each for each in self.executions if each.request.instruction == instruction]

    async def execution(self, instruction: str, number: int = 1) -> Execution:
        """The execution with this instruction, when it has begun."""
        async with asyncio.timeout(30), self._began:
            await self._began.wait_for(lambda: len(self.of(instruction)) >= number)
        return self.of(instruction)[number - 1]

    async def ResolveAgent(self, request: pb.ResolveAgentRequest, context: Context) -> pb.ResolveAgentResponse:
        self.resolving.set()
        await self.may_resolve.wait()
        if self.deleted or request.target not in (self.name, self.agent_id):
            raise AgentNotFound(f"agent {request.target} does not exist in this project", agent=request.target)
        return pb.ResolveAgentResponse(agent=agent_pb2.Agent(id=self.agent_id, name=self.name))

    async def Execute(self, request: pb.ExecuteRequest, context: Context) -> AsyncIterator[pb.ExecuteResponse]:
        execution = Execution(request, current_caller().user_id)
        self.executions.append(execution)
        async with self._began:
            self._began.notify_all()
        try:
            if self.deleted:
                raise AgentNotFound("the agent was deleted")
            said = ""
            for step in self._steps(request.instruction):
                match step:
                    case str():
                        yield pb.ExecuteResponse(delta=pb.ExecutionDelta(offset=len(said), text=step))
                        said += step
                    case Exception():
                        raise step
                    case Hold():
                        await execution.go.wait()
                    case Vanish():
                        await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
            usage = usage_pb2.Usage(prompt_tokens=3, completion_tokens=2, model_calls=1)
            yield pb.ExecuteResponse(completed=pb.ExecutionCompleted(output=said, usage=usage))
        except (asyncio.CancelledError, GeneratorExit):
            execution.stopped = True
            raise
        finally:
            execution.over.set()

    def _steps(self, instruction: str) -> Sequence[Step]:
        attempts = self._scripts.get(instruction)
        if attempts is None:
            return ("Echo: ", instruction)
        return attempts.pop(0) if len(attempts) > 1 else attempts[0]
