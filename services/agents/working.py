"""Working on a task: the model answers and calls tools, until it is done or has to wait for what it asked."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

from services.agents.agent import Agent
from services.agents.answering import LONGEST_ANSWER, answering
from services.agents.effects import Effect
from services.agents.errors import ModelFailed
from services.agents.events import Completed, Delta, ExecutionEvent, Paused, Working
from services.agents.models import CallsWanted, Model, ModelRequest, Throttled, Usage
from services.agents.prompt import build_prompt
from services.agents.recollection import Recollection
from services.agents.task import Task
from services.agents.tools.calling import Calling, CallRules
from services.agents.tools.tool import Caller, ToolSpec
from services.agents.transcript import Transcript

Emit = Callable[[ExecutionEvent], None]
Throttle = Callable[[float], Awaitable[None]]


class Worker:
    """Lets agents work on tasks. `steps` is how often one task may call tools before it has to answer."""

    def __init__(self, model: Model, calling: Calling, steps: int) -> None:
        self._model = model
        self._calling = calling
        self._steps = steps

    async def work(
        self,
        agent: Agent,
        task: Task,
        recollection: Recollection,
        effects: Sequence[Effect],
        emit: Emit,
        throttle: Throttle,
    ) -> Completed | Paused:
        """Work on the task from where it was paused, if it was; tell what happens but for the end, and return that.

        `effects` is what earlier attempts did. Raise what the model raises, ExecutionSuperseded, AgentNotFound,
        ProjectNotFound, Unavailable.
        """
        transcript, usage = Transcript.load(task.state), Usage()
        rules = CallRules(task.claim, task.answers, frozenset(task.approved_tools), task.unattended)
        caller = Caller(agent, task.session_id, task.claim.run_id, task.claim.task_id)
        # What the transcript does not tell: an attempt that broke off did it after that was kept.
        untold = tuple(effect for effect in effects if effect.call.id not in transcript.known)
        if transcript.said:
            emit(Delta(0, transcript.said))
        while True:
            # Read once for each turn, when the model has said what it wants: whoever changes the policy means the next
            # call, not the next run. By the same reading the model is offered what it may call then, which is held
            # against another one when it does.
            policy = await self._calling.policy(agent)
            if transcript.calls:
                if pending := await self._calling.settle(caller, transcript.calls, policy, rules, emit):
                    return Paused(transcript.dump(), tuple(pending), usage)
                transcript.close()
            emit(Working("thinking"))
            tools = self._calling.offered(agent, policy, rules)
            request = self._request(agent, task, recollection, untold, transcript, tools)
            text, wanted, spent = await self._turn(request, transcript, emit, throttle)
            usage += spent
            if wanted is None:
                return Completed(transcript.said, usage)
            if transcript.steps >= self._steps:
                raise ModelFailed(
                    f"the model went on calling tools after {self._steps} times: raise CODELAB_TASK_STEPS, or ask for"
                    " less at once"
                )
            transcript.open(text, wanted.calls, task.claim)

    async def _turn(
        self, request: ModelRequest, transcript: Transcript, emit: Emit, throttle: Throttle
    ) -> tuple[str, CallsWanted | None, Usage]:
        """Let the model speak once: what it said, what it wants, and what that cost."""
        wanted, completed, first = None, Completed("", Usage()), True
        async with aclosing(answering(self._model, request)) as events:
            async for event in events:
                match event:
                    case Throttled(seconds):
                        await throttle(seconds)
                    case CallsWanted():
                        wanted = event
                    case Delta():
                        if len(transcript.said) + len(event.text) > LONGEST_ANSWER:
                            raise ModelFailed(f"the model's answer is longer than {LONGEST_ANSWER:,} characters")
                        emit(Delta(*transcript.say(event.text, first)))
                        first = False
                    case Completed():
                        completed = event
                    case _:
                        emit(event)
        return completed.output, wanted, completed.usage

    def _request(
        self,
        agent: Agent,
        task: Task,
        recollection: Recollection,
        effects: Sequence[Effect],
        transcript: Transcript,
        tools: tuple[ToolSpec, ...],
    ) -> ModelRequest:
        prompt = build_prompt(
            agent.config,
            recollection.memories,
            task.history,
            task.inputs,
            task.instruction,
            effects=effects,
            request=task.request,
            tools=bool(tools or transcript.messages),
        )
        return ModelRequest(
            (*prompt, *transcript.messages),
            agent.config.model,
            agent.config.temperature,
            agent.config.max_tokens,
            tuple(memory.content for memory in recollection.memories),
            task.instruction,
            tools=tools,
            may_call=transcript.steps < self._steps,
            may_be_silent=bool(transcript.said.strip()),
        )
