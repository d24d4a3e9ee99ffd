"""Tasks that call tools: over a real socket, with the real openai client, a scripted model, and tools of the test."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from codelab.agents.v1 import execution_service_pb2 as pb
from codelab.agents.v1 import tool_pb2
from google.protobuf.json_format import MessageToDict

from services.agents.agent import Owner
from services.agents.tools.policy import ToolPolicy
from services.agents.tools.sql_policy_store import SqlToolPolicyStore
from services.agents.tools.tool import Caller, Output, Risk, ToolFailed, ToolSpec
from services.runtime.database import DatabaseUnavailable
from tests.agents.calls import Agents, User, events_of, new_uuid, refused, serving
from tests.agents.execution.tasks import kinds, make
from tests.e2e.polling import eventually
from tests.fakes.openai_script import Script
from tests.fakes.openai_server import FakeModel

Event = pb.ExecuteResponse


class Bell:
    """A tool that rings. What it was called with is in `rung`; it can be held, fail, or break."""

    unavailable: str | None = None

    def __init__(self, name: str = "ring", risk: Risk = "read") -> None:
        self.spec = ToolSpec(
            name,
            "Rings.",
            risk,
            {
                "type": "object",
                "properties": {"times": {"type": "integer", "minimum": 1}, "how": {"type": "string"}},
                "required": ["times"],
                "additionalProperties": False,
            },
        )
        self.rung: list[Mapping[str, Any]] = []
        self.stopped = 0
        self.hold: asyncio.Event | None = None
        self.error: Exception | None = None

    async def run(self, caller: Caller, arguments: Mapping[str, Any]) -> Output:
        self.rung.append(arguments)
        try:
            if self.hold is not None:
                await self.hold.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        if self.error is not None:
            raise self.error
        return Output(f"{self.spec.name} {arguments['times']}")


@pytest.fixture
def bells(monkeypatch: pytest.MonkeyPatch) -> dict[str, Bell]:
    """The tools of the service, by name."""
    made = [Bell("ring"), Bell("chime"), Bell("knock", "write"), Bell("shout", "external"), Bell("lost")]
    made[4].unavailable = "there is no bell in this house"

    async def tools_of(*_: object) -> tuple[Bell, ...]:
        return tuple(made)

    monkeypatch.setattr("services.agents.__main__.tools_of", tools_of)
    return {each.spec.name: each for each in made}


@pytest.fixture
async def house(bells: dict[str, Bell], tmp_path: Path, model: FakeModel) -> AsyncIterator[Agents]:
    async with serving(tmp_path, OPENAI_BASE_URL=model.url, OPENAI_MODEL="fake-model", CODELAB_TASK_STEPS="3") as run:
        yield run


@pytest.fixture
async def user(house: Agents) -> User:
    user = house.user()
    await house.create_space(user)
    return user


@pytest.fixture
async def agent(house: Agents, user: User) -> str:
    return await make(house, user, tools=["ring", "chime", "knock", "shout", "lost", "ask_agent"])  # type: ignore[arg-type]


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"tool": tool, "arguments": arguments}


def asking(*turns: list[dict[str, Any]], answer: str = "Told: {results}", **script: Any) -> str:
    """An instruction at which the model calls this, turn by turn, and then says what it was told."""
    return f"Do it. {Script(calls=turns, answer=answer, **script).directive()}"


def pending(event: Event) -> list[tuple[str, str]]:
    """What a pause waits for: the tools, and what is wanted of them."""
    assert event.HasField("paused")
    return [(each.tool, each.WhichOneof("wanted") or "") for each in event.paused.calls]


def approved(call: pb.PendingCall, **arguments: Any) -> pb.CallAnswer:
    answer = pb.CallAnswer(call=call.call_id, approved=pb.CallApproved())
    if arguments:
        answer.approved.arguments.update(arguments)
    return answer


def refused_call(call: pb.PendingCall, detail: str) -> pb.CallAnswer:
    return pb.CallAnswer(call=call.call_id, refused=pb.CallRefused(detail=detail))


class Tried:
    """A task in several attempts."""

    def __init__(self, house: Agents, user: User, agent: str, instruction: str) -> None:
        self._house, self._user, self._agent, self._instruction = house, user, agent, instruction
        self._ids = {"run_id": new_uuid(), "task_id": "answer", "session_id": new_uuid()}
        self._attempt = 0

    async def go(self, *answers: pb.CallAnswer, state: str = "", **fields: Any) -> list[Event]:
        self._attempt += 1
        return await events_of(
            self._house.execute(
                self._user,
                self._agent,
                self._instruction,
                attempt=self._attempt,
                answers=answers,
                state=state,
                **self._ids,
                **fields,
            )
        )


def told(events: list[Event]) -> list[tuple[str, bool, str]]:
    """What tools are said to have given."""
    each = [event.tool_completed for event in events if event.HasField("tool_completed")]
    return [(event.tool, event.success, event.output) for event in each]


# Calls that run at once


async def test_task_calls_tools_and_answers_with_what_they_gave(
    house: Agents, user: User, agent: str, bells: dict[str, Bell]
) -> None:
    instruction = asking([call("ring", times=2)], [call("chime", times=1)], before="I ring.")
    events = await Tried(house, user, agent, instruction).go()
    assert kinds(events) == [
        *("busy", "context", "thinking", "model_called", "delta", "tool", "tool_started", "tool_completed"),
        *("thinking", "model_called", "delta", "tool", "tool_started", "tool_completed"),
        *("thinking", "model_called", "delta", "ready", "completed"),
    ]
    started = next(event.tool_started for event in events if event.HasField("tool_started"))
    assert (started.tool, MessageToDict(started.arguments)) == ("ring", {"times": 2})
    assert told(events) == [("ring", True, "ring 2"), ("chime", True, "chime 1")]
    text = "".join(event.delta.text for event in events if event.HasField("delta"))
    assert text == events[-1].completed.output == "I ring.\n\nI ring.\n\nTold: ring 2\nchime 1"
    assert events[-1].completed.usage.model_calls == 3


async def test_model_that_says_nothing_after_its_calls_has_answered(house: Agents, user: User, agent: str) -> None:
    instruction = asking([call("ring", times=1)], before="I ring, and that is all.", answer="")
    events = await Tried(house, user, agent, instruction).go()
    assert events[-1].completed.output == "I ring, and that is all."


async def test_calls_that_only_look_run_side_by_side_and_the_model_hears_them_in_its_order(
    house: Agents, user: User, agent: str, bells: dict[str, Bell]
) -> None:
    bells["ring"].hold = asyncio.Event()

    class Freeing(Bell):
        async def run(self, caller: Caller, arguments: Mapping[str, Any]) -> Output:
            assert bells["ring"].hold is not None
            bells["ring"].hold.set()
            return await Bell.run(self, caller, arguments)

    bells["chime"].__class__ = Freeing
    events = await Tried(house, user, agent, asking([call("ring", times=1), call("chime", times=2)])).go()
    assert events[-1].completed.output == "Told: ring 1\nchime 2"


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (call("ring", times=0), "0 is less than the minimum of 1"),
        (call("ring"), "'times' is a required property"),
        (call("ring", times=1, loud=True), "'loud' was unexpected"),
        ({"tool": "ring", "raw": "{broken"}, "no JSON"),
        ({"tool": "ring", "raw": '{"times": NaN}'}, "no JSON"),
        ({"tool": "ring", "raw": "[1]"}, "no JSON object"),
        ({"tool": "ring", "raw": '{"times": 1, "how": "a\\u0000"}'}, "U+0000"),
        ({"tool": "ring", "raw": "[" * 5_000}, "JSON"),
        ({"tool": "ring", "raw": f'{{"times": {"[" * 700}{"]" * 700}}}'}, "nested too deep"),
        (call("bong", times=1), "There is no tool named 'bong' here. Those that you can call: ask_agent, chime, knock"),
        (call("lost", times=1), "There is no tool named 'lost' here"),
    ],
    ids=["bound", "missing", "unknown", "broken", "nan", "list", "nul", "deep", "nested", "no tool", "unavailable"],
)
async def test_call_that_does_not_fit_is_told_to_the_model_and_nothing_runs(
    house: Agents, user: User, agent: str, bells: dict[str, Bell], wanted: dict[str, Any], why: str
) -> None:
    events = await Tried(house, user, agent, asking([wanted])).go()
    assert why in events[-1].completed.output
    assert told(events) == []
    assert [each.rung for each in bells.values() if each.rung] == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ToolFailed("Ring the other one."), "Ring the other one."),
        (ZeroDivisionError("secret"), "broken on this server"),
    ],
    ids=["fails", "breaks"],
)
async def test_tool_that_fails_is_told_to_the_model_and_the_task_goes_on(
    house: Agents, user: User, agent: str, bells: dict[str, Bell], error: Exception, said: str
) -> None:
    bells["ring"].error = error
    events = await Tried(house, user, agent, asking([call("ring", times=1)])).go()
    [(_, success, output)] = told(events)
    assert (success, said in output, "secret" in output) == (False, True, False)
    assert said in events[-1].completed.output


async def test_after_so_many_steps_the_model_has_to_answer(
    house: Agents, user: User, agent: str, model: FakeModel
) -> None:
    instruction = asking([call("ring", times=1)], endless=True, answer="Enough.")
    events = await Tried(house, user, agent, instruction).go()
    assert events[-1].completed.output == "Enough."
    assert [each.body.get("tool_choice") for each in model.exchanges()] == [None, None, None, "none"]


async def test_agent_without_tools_is_offered_none(house: Agents, user: User, model: FakeModel) -> None:
    plain = await make(house, user, name="Plain")
    events = await Tried(house, user, plain, asking([call("ring", times=1)], answer="Nothing to ring.")).go()
    assert events[-1].completed.output == "Nothing to ring."
    assert "tools" not in model.exchanges()[0].body


async def test_caller_that_goes_away_stops_the_tool(
    house: Agents, user: User, agent: str, bells: dict[str, Bell]
) -> None:
    bell = bells["ring"]
    bell.hold = asyncio.Event()
    execution = house.execute(user, agent, asking([call("ring", times=1)]))
    while not bell.rung:
        await execution.read()
    execution.cancel()
    await eventually(lambda: bell.stopped, what="the end of the tool")


# What the policy says meanwhile


async def test_policy_that_changes_while_the_model_speaks_decides_the_call_and_what_is_offered_next(
    house: Agents, user: User, agent: str, bells: dict[str, Bell], model: FakeModel
) -> None:
    script = {"before": "I ring the bell now.", "answer": "Told: {results}", "gate": "speaking"}
    execution = house.execute(user, agent, asking([call("ring", times=1)], **script))  # type: ignore[arg-type]
    while not (await execution.read()).HasField("delta"):
        pass
    rule = tool_pb2.ToolRule(tool="ring", decision=tool_pb2.ToolDecision.TOOL_DECISION_DENY)
    await house.set_policy(user, tool_pb2.ToolPolicy(rules=[rule]))
    model.open_gate("speaking")
    events = await events_of(execution)
    assert "The owner of the project does not permit ring." in events[-1].completed.output
    assert bells["ring"].rung == []
    offered = [{each["function"]["name"] for each in exchange.body["tools"]} for exchange in model.exchanges()]
    assert ["ring" in names for names in offered] == [True, False]


async def test_policy_is_read_once_for_each_turn(
    house: Agents, user: User, agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = []
    read = SqlToolPolicyStore.get_policy

    async def counted(store: SqlToolPolicyStore, owner: Owner) -> ToolPolicy:
        readings.append(owner)
        return await read(store, owner)

    monkeypatch.setattr(SqlToolPolicyStore, "get_policy", counted)
    events = await Tried(house, user, agent, asking([call("ring", times=1)], [call("chime", times=2)])).go()
    assert events[-1].completed.usage.model_calls == len(readings) == 3


# Calls that wait


async def test_three_calls_of_one_turn_two_of_which_ask(
    house: Agents, user: User, agent: str, bells: dict[str, Bell]
) -> None:
    turn = [call("knock", times=1), call("ring", times=2), call("shout", times=3)]
    task = Tried(house, user, agent, asking(turn, before="Three."))
    events = await task.go()
    assert told(events) == [("ring", True, "ring 2")]
    assert pending(events[-1]) == [("knock", "approval"), ("shout", "approval")]
    paused = events[-1].paused
    knock, shout = paused.calls
    assert (knock.approval.risk, shout.approval.risk) == (tool_pb2.TOOL_RISK_WRITE, tool_pb2.TOOL_RISK_EXTERNAL)
    assert MessageToDict(knock.arguments) == {"times": 1}
    assert MessageToDict(knock.approval.parameters) == bells["knock"].spec.parameters
    assert paused.usage.model_calls == 1
    assert "ready" in kinds(events)  # Its place is free for others.

    events = await task.go(refused_call(shout, "Not so loud."), approved(knock), state=paused.state)
    assert told(events) == [("knock", True, "knock 1")]
    assert events[-1].completed.output == "Three.\n\nTold: knock 1\nring 2\nNot so loud."
    assert "".join(event.delta.text for event in events if event.HasField("delta")) == events[-1].completed.output
    assert [each.rung for each in bells.values()] == [[{"times": 2}], [], [{"times": 1}], [], []]


async def test_changed_arguments_are_what_runs_and_the_model_is_told(
    house: Agents, user: User, agent: str, bells: dict[str, Bell]
) -> None:
    task = Tried(house, user, agent, asking([call("knock", times=9)]))
    paused = (await task.go())[-1].paused
    events = await task.go(approved(paused.calls[0], times=1), state=paused.state)
    assert bells["knock"].rung == [{"times": 1}]
    assert 'The user changed the arguments before approving the call. It ran with: {"times": 1}' in (
        events[-1].completed.output
    )


async def test_what_is_approved_for_the_run_is_not_asked_again(
    house: Agents, user: User, agent: str, bells: dict[str, Bell]
) -> None:
    task = Tried(house, user, agent, asking([call("knock", times=1), call("shout", times=1)]))
    events = await task.go(approved_tools=["knock"])
    assert pending(events[-1]) == [("shout", "approval")]
    assert bells["knock"].rung == [{"times": 1}]


async def test_nobody_is_asked_where_nobody_attends(
    house: Agents, user: User, agent: str, model: FakeModel, bells: dict[str, Bell]
) -> None:
    task = Tried(house, user, agent, asking([call("knock", times=1)]))
    events = await task.go(unattended=True)
    assert "nobody can be asked here" in events[-1].completed.output
    offered = [each["function"]["name"] for each in model.exchanges()[0].body["tools"]]
    assert offered == ["chime", "ring"]


async def test_question_for_another_agent_is_a_pause_and_its_answer_a_result(
    house: Agents, user: User, agent: str
) -> None:
    task = Tried(house, user, agent, asking([call("ask_agent", agent="Bob", question="Why?")]))
    events = await task.go()
    assert pending(events[-1]) == [("ask_agent", "consultation")]
    [wanted] = events[-1].paused.calls
    assert (wanted.consultation.agent, wanted.consultation.question) == ("Bob", "Why?")
    done = pb.CallAnswer(call=wanted.call_id, done=pb.CallDone(success=True, output="Because."))
    events = await task.go(done, state=events[-1].paused.state)
    assert (told(events), events[-1].completed.output) == ([("ask_agent", True, "Because.")], "Told: Because.")


async def test_changed_question_for_another_agent_is_told_to_the_model(house: Agents, user: User, agent: str) -> None:
    rule = tool_pb2.ToolRule(tool="ask_agent", decision=tool_pb2.ToolDecision.TOOL_DECISION_ASK)
    await house.set_policy(user, tool_pb2.ToolPolicy(rules=[rule]))
    task = Tried(house, user, agent, asking([call("ask_agent", agent="Bob", question="Why?")]))
    paused = (await task.go())[-1].paused
    [asked] = paused.calls
    changed = approved(asked, agent="Ann", question="Why not?")
    paused = (await task.go(changed, state=paused.state))[-1].paused
    done = pb.CallAnswer(call=asked.call_id, done=pb.CallDone(success=True, output="Because."))
    output = (await task.go(done, changed, state=paused.state))[-1].completed.output
    assert output.startswith("Told: The user changed the arguments before approving the call. It ran with: ")
    assert '"question": "Why not?"' in output
    assert output.endswith("Because.")


async def test_answer_to_what_nobody_asked_changes_nothing(
    house: Agents, user: User, agent: str, bells: dict[str, Bell]
) -> None:
    task = Tried(house, user, agent, asking([call("knock", times=1)]))
    paused = (await task.go())[-1].paused
    stray = pb.CallAnswer(call=new_uuid(), approved=pb.CallApproved())
    events = await task.go(stray, state=paused.state)
    assert pending(events[-1]) == [("knock", "approval")]
    assert events[-1].paused.calls[0].call_id == paused.calls[0].call_id
    assert bells["knock"].rung == []


# What may have happened is never done again


async def test_approved_call_that_an_attempt_made_is_not_made_by_the_next(
    house: Agents, user: User, agent: str, bells: dict[str, Bell]
) -> None:
    task = Tried(house, user, agent, asking([call("knock", times=1)]))
    paused = (await task.go())[-1].paused
    first = await task.go(approved(paused.calls[0]), state=paused.state)
    again = await task.go(approved(paused.calls[0]), state=paused.state)
    assert first[-1].completed.output == again[-1].completed.output == "Told: knock 1"
    assert bells["knock"].rung == [{"times": 1}]


async def test_call_of_which_nobody_knows_how_it_ended_is_not_repeated(
    house: Agents, user: User, agent: str, bells: dict[str, Bell]
) -> None:
    bell = bells["knock"]
    task = Tried(house, user, agent, asking([call("knock", times=1)]))
    paused = (await task.go())[-1].paused
    bell.hold = asyncio.Event()
    breaking_off = asyncio.create_task(task.go(approved(paused.calls[0]), state=paused.state))
    await eventually(lambda: bell.rung, what="the tool")
    events = await task.go(approved(paused.calls[0]), state=paused.state)
    assert "nobody knows how it ended" in events[-1].completed.output
    assert (bell.rung, bell.stopped) == ([{"times": 1}], 1)
    with refused(grpc.StatusCode.ABORTED, "EXECUTION_SUPERSEDED"):
        await breaking_off


# What is out of reach at the moment


async def test_outage_fails_the_attempt_and_the_next_one_calls_again(
    house: Agents, user: User, agent: str, bells: dict[str, Bell]
) -> None:
    bells["ring"].error = DatabaseUnavailable("no connection to db.internal")
    task = Tried(house, user, agent, asking([call("ring", times=1), call("chime", times=2)]))
    with refused(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE"):
        await task.go()
    bells["ring"].error = None
    assert (await task.go())[-1].completed.output == "Told: ring 1\nchime 2"


async def test_outage_in_a_call_with_side_effects_leaves_its_outcome_unknown(
    house: Agents, user: User, agent: str, bells: dict[str, Bell], model: FakeModel
) -> None:
    task = Tried(house, user, agent, asking([call("knock", times=1)]))
    paused = (await task.go())[-1].paused
    bells["knock"].error = DatabaseUnavailable("no connection to db.internal", in_doubt=True)
    with refused(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE"):
        await task.go(approved(paused.calls[0]), state=paused.state)
    bells["knock"].error = None
    events = await task.go(approved(paused.calls[0]), state=paused.state)
    assert "nobody knows how it ended" in events[-1].completed.output
    # Nor by a model that begins anew.
    await task.go(unattended=True)
    assert "outcome unknown: do not repeat it" in str(model.exchanges()[-1].body["messages"])
    assert bells["knock"].rung == [{"times": 1}]
