"""Calling tools for a task: what may run runs, what must not is refused, and for the rest the task waits."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from services.agents.agent import Agent, Owner
from services.agents.effects import Effect, EffectJournal, Outcome, ToolCall
from services.agents.events import (
    ExecutionEvent,
    PendingCall,
    ToolCompleted,
    ToolStarted,
    WantedApproval,
    WantedConsultation,
    Working,
)
from services.agents.store import Claim
from services.agents.tools.policy import ToolPolicy, ToolPolicyStore
from services.agents.tools.tool import MOST_ARGUMENTS, Caller, Output, Tool, ToolFailed, ToolSpec, bounded
from services.agents.tools.toolbox import ASK_AGENT, Toolbox
from services.agents.tools.unseen import warnings_of
from services.agents.transcript import Call
from services.runtime.errors import Unavailable
from services.runtime.ids import Clock
from services.runtime.json_schema import violations

log = structlog.get_logger()

Emit = Callable[[ExecutionEvent], None]

_UNKNOWN_OUTCOME = (
    "The call began, and nobody knows how it ended, because the server broke off: it may have happened or not. Find out"
    " before you make it again."
)
# PostgreSQL takes neither, and no tool needs them.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_EDITED = "The user changed the arguments before approving the call. It ran with: "


@dataclass(frozen=True)
class CallAnswer:
    """What became of a call that a task waited for: `detail` is why it must not run, or what it gave."""

    call_id: str
    kind: Literal["approved", "refused", "done"]
    detail: str = ""
    success: bool = True
    arguments: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class CallRules:
    """What holds for the calls of one attempt."""

    claim: Claim
    answers: tuple[CallAnswer, ...] = ()
    approved_tools: frozenset[str] = frozenset()
    unattended: bool = False
    """Nobody can be asked."""

    def answer(self, call_id: str, *kinds: str) -> CallAnswer | None:
        """What became of the call, if it is of one of these kinds."""
        return next((each for each in self.answers if each.call_id == call_id and each.kind in kinds), None)


@dataclass(frozen=True)
class _Ready:
    """A call that may run now. `note` is what the model has to know before the result."""

    call: Call
    tool: Tool
    arguments: Mapping[str, Any]
    note: str


class _Refused(Exception):
    """A call that must not run; the model is told why."""


class Calling:
    """Tools in the hands of agents, within what their owners permit."""

    def __init__(self, toolbox: Toolbox, policies: ToolPolicyStore, effects: EffectJournal, clock: Clock) -> None:
        self._toolbox = toolbox
        self._policies = policies
        self._effects = effects
        self._clock = clock

    async def policy(self, agent: Agent) -> ToolPolicy:
        """What the agent may do now, from the database. Raise ProjectNotFound."""
        # Without tools it can call nothing, whatever is permitted.
        return await self._policies.get_policy(agent.owner) if agent.config.tools else ToolPolicy()

    def offered(self, agent: Agent, policy: ToolPolicy, rules: CallRules) -> tuple[ToolSpec, ...]:
        """What the agent may call, asking or not."""
        return tuple(spec for spec in self._usable(agent) if _is_offered(spec, agent, policy, rules))

    async def settle(
        self, caller: Caller, calls: Sequence[Call], policy: ToolPolicy, rules: CallRules, emit: Emit
    ) -> list[PendingCall]:
        """Give each call its result as far as can be; return those that the task has to wait for, in their order.

        The policy must have been read since the calls were wanted. Calls that only look run side by side, the others
        each after what comes before it. Raise ExecutionSuperseded, AgentNotFound, Unavailable if something that a tool
        needs is out of reach.
        """
        pending: list[PendingCall] = []
        looking: list[_Ready] = []
        for call in calls:
            if call.result is not None:
                continue
            try:
                found = self._examine(caller.agent, call, policy, rules)
            except _Refused as refusal:
                call.result = str(refusal)
                continue
            match found:
                case PendingCall():
                    pending.append(found)
                case _Ready() if found.tool.spec.risk == "read":
                    looking.append(found)
                case _Ready():
                    await self._run_together(caller, looking, rules, emit)
                    looking = []
                    await self._run(caller, found, rules, emit)
                case CallAnswer(detail=detail, success=success):
                    output = Output(detail, success)
                    emit(ToolCompleted(call.id, call.wanted.tool, output))
                    call.result = _note_of(rules.answer(call.id, "approved")) + _told(output)
        await self._run_together(caller, looking, rules, emit)
        # What will be asked of another agent begins now, for whoever watches.
        for each in pending:
            if isinstance(each.wanted, WantedConsultation):
                emit(ToolStarted(each.call_id, each.tool, each.arguments))
        return pending

    def _usable(self, agent: Agent) -> list[ToolSpec]:
        usable = [spec for spec in self._toolbox.specs if spec.name in agent.config.tools]
        return [spec for spec in usable if self._toolbox.unavailable(spec.name) is None]

    def _examine(
        self, agent: Agent, call: Call, policy: ToolPolicy, rules: CallRules
    ) -> _Ready | PendingCall | CallAnswer:
        """What is to be done about a call. Raise _Refused."""
        if (done := rules.answer(call.id, "done")) is not None:
            return done
        if (refused := rules.answer(call.id, "refused")) is not None:
            raise _Refused(refused.detail)
        spec = self._spec(agent, call)
        approved = rules.answer(call.id, "approved")
        arguments, note = _arguments_of(call), _note_of(approved)
        if approved is not None and approved.arguments is not None:
            arguments = approved.arguments
        if wrong := violations(spec.parameters, dict(arguments)):
            raise _Refused(_misfit(spec, wrong))
        decision = policy.decide(spec, agent.id)
        if decision == "deny":
            raise _Refused(f"The owner of the project does not permit {spec.name}. Do without.")
        if decision == "ask" and approved is None and spec.name not in rules.approved_tools:
            if rules.unattended:
                raise _Refused(f"{spec.name} needs its user's approval, and nobody can be asked here. Do without.")
            wanted = WantedApproval(spec.risk, warnings_of(arguments), spec.parameters)
            return PendingCall(call.id, spec.name, arguments, wanted)
        if spec.name == ASK_AGENT.name:
            return PendingCall(
                call.id, spec.name, arguments, WantedConsultation(arguments["agent"], arguments["question"])
            )
        tool = self._toolbox.find(spec.name)
        assert tool is not None
        return _Ready(call, tool, arguments, note)

    def _spec(self, agent: Agent, call: Call) -> ToolSpec:
        usable = self._usable(agent)
        for spec in usable:
            if spec.name == call.wanted.tool:
                return spec
        names = ", ".join(spec.name for spec in usable) or "none"
        raise _Refused(f"There is no tool named {call.wanted.tool[:100]!r} here. Those that you can call: {names}.")

    async def _run_together(self, caller: Caller, ready: Sequence[_Ready], rules: CallRules, emit: Emit) -> None:
        if not ready:
            return
        try:
            async with asyncio.TaskGroup() as group:
                for each in ready:
                    group.create_task(self._run(caller, each, rules, emit), name=f"tool {each.call.id}")
        except ExceptionGroup as failures:
            # One is as good as all: the attempt fails by it.
            raise failures.exceptions[0] from None

    async def _run(self, caller: Caller, ready: _Ready, rules: CallRules, emit: Emit) -> None:
        call, spec, owner = ready.call, ready.tool.spec, caller.agent.owner
        if spec.risk == "read":
            output = await self._call(caller, ready, emit)
        elif (earlier := await self._begin(owner, caller.agent.id, rules.claim, ready)) is not None:
            output = _known_of(earlier)
            emit(ToolCompleted(call.id, spec.name, output))
        else:
            output = await self._call(caller, ready, emit)
            outcome = Outcome(output.success, output.text)
            await self._effects.finish(owner, rules.claim, call.id, outcome, self._clock())
        call.result = ready.note + _told(output)

    async def _begin(self, owner: Owner, agent_id: str, claim: Claim, ready: _Ready) -> Effect | None:
        recorded = ToolCall(ready.call.id, ready.tool.spec.name, ready.arguments)
        return await self._effects.begin(owner, agent_id, claim, recorded, self._clock())

    async def _call(self, caller: Caller, ready: _Ready, emit: Emit) -> Output:
        call, name = ready.call, ready.tool.spec.name
        emit(Working("tool"))
        emit(ToolStarted(call.id, name, ready.arguments))
        try:
            output = await ready.tool.run(caller, ready.arguments)
        except ToolFailed as failure:
            output = Output(str(failure), success=False)
        except Unavailable:
            # An outage of ours is no answer for the model: the next attempt finds it over, or fails by it. Of a call
            # with side effects no outcome is recorded, because nobody knows what of it happened before.
            log.warning("tool out of reach", tool=name, call_id=call.id, run_id=caller.run_id)
            raise
        except Exception:
            # The model can do without one tool; the task must not fail for it.
            log.exception("tool broke", tool=name, call_id=call.id, run_id=caller.run_id)
            output = Output("The tool is broken on this server: its operator finds the error in the log.", False)
        emit(ToolCompleted(call.id, name, output))
        return output


def _is_offered(spec: ToolSpec, agent: Agent, policy: ToolPolicy, rules: CallRules) -> bool:
    decision = policy.decide(spec, agent.id)
    if rules.unattended and spec.name == ASK_AGENT.name:
        return False
    asks = decision == "ask" and spec.name not in rules.approved_tools
    return decision != "deny" and not (rules.unattended and asks)


def _arguments_of(call: Call) -> Mapping[str, Any]:
    """The arguments as the model wrote them. Raise _Refused."""
    text = call.wanted.arguments
    if len(text) > MOST_ARGUMENTS:
        raise _Refused(f"The arguments have more than {MOST_ARGUMENTS:,} characters. Do it in smaller parts.")
    try:
        arguments = json.loads(text, parse_constant=_no_number) if text.strip() else {}
        readable = _is_text(arguments)
    except ValueError as error:
        raise _Refused(f"The arguments are no JSON: {error}. Call again with a JSON object.") from None
    except RecursionError:
        raise _Refused("The arguments are nested too deep. Call again with a plain JSON object.") from None
    if not isinstance(arguments, dict):
        raise _Refused("The arguments are no JSON object. Call again with one.")
    if not readable:
        raise _Refused("The arguments contain U+0000 or half a character. Call again without.")
    return arguments


def _note_of(approved: CallAnswer | None) -> str:
    """What the model has to know before the result of a call that was approved so."""
    if approved is None or approved.arguments is None:
        return ""
    return _EDITED + bounded(json.dumps(dict(approved.arguments), ensure_ascii=False)).text + "\n\n"


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _is_text(value: Any) -> bool:
    match value:
        case str():
            return not _NO_TEXT.search(value)
        case dict():
            return all(map(_is_text, value)) and all(map(_is_text, value.values()))
        case list():
            return all(map(_is_text, value))
    return True


def _misfit(spec: ToolSpec, wrong: Sequence[tuple[str, str]]) -> str:
    listed = "; ".join(f"{path}: {sentence}" if path else sentence for path, sentence in wrong)
    return f"The arguments do not fit {spec.name}: {listed}. Call again with others."


def _known_of(effect: Effect) -> Output:
    if effect.outcome is None:
        return Output(_UNKNOWN_OUTCOME, success=False)
    return Output(effect.outcome.output, effect.outcome.success)


def _told(output: Output) -> str:
    text = output.text if output.text.strip() else "(no output)"
    return text if output.success else f"Error: {text}"
