"""A request that comes again, however often, by whichever door and whatever broke in between, does its work once."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import cycle, product
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.client import AGENT, Api, Chat, answer
from tests.e2e.doors import KEYED as EVERY_KEYED
from tests.e2e.doors import Answer, Caller, Door, calling
from tests.e2e.events import Event
from tests.e2e.polling import eventually
from tests.e2e.suite import Suite
from tests.e2e.swallower import swallowing
from tests.fakes.openai_script import DEFAULT_ANSWER, Script
from tests.fakes.openai_server import FakeModel

pytestmark = pytest.mark.one_layout

# What says something: a retry says nothing of its own, and has its tests in test_retrying.
KEYED = EVERY_KEYED - {"RetryRun"}
SENDING = ("SendMessage", "StreamMessage", "CreateRun")
DOORS = tuple(Door)


@dataclass(frozen=True)
class Place:
    """A session, what one user may ask there, and what shows whether that was done more than once."""

    caller: Caller
    chat: Chat
    agent_id: str

    @property
    def project(self) -> dict[str, str]:
        return {"project_id": self.chat.project_id}

    @property
    def session(self) -> dict[str, str]:
        return {**self.project, "session_id": self.chat.session_id}

    @property
    def agent(self) -> dict[str, str]:
        return {**self.project, "agent_id": self.agent_id}

    def content(self, rpc: str, text: str) -> dict[str, Any]:
        """A good request that says `text`."""
        match rpc:
            case "CreateProject":
                return {"project": {"name": text}}
            case "CreateAgent":
                return {**self.project, "agent": {"name": text}}
            case "CreateSession":
                return {**self.project, "session": {"title": text}}
            case "AddMemory":
                return {**self.agent, "memory": {"content": text}}
            case _:
                return {**self.session, "content": text, "target_agent": AGENT}

    async def ask(self, door: Door, rpc: str, key: str, text: str, **other: Any) -> Answer:
        return await self.caller.ask(door, rpc, request_id=key, **{**self.content(rpc, text), **other})

    async def count(self, rpc: str, *texts: str) -> int:
        """How many things there are that such requests made."""
        match rpc:
            case "CreateProject":
                projects = await self._list("ListProjects", page_size=200)
                return sum(each["name"] in texts for each in projects["projects"])
            case "CreateAgent":
                agents = await self._list("ListAgents", **self.project)
                return sum(each["name"] in texts for each in agents["agents"])
            case "CreateSession":
                sessions = await self._list("ListSessions", **self.project)
                return sum(each["title"] in texts for each in sessions["sessions"])
            case "AddMemory":
                memories = await self._list("ListMemories", **self.agent)
                return sum(each["content"] in texts for each in memories["memories"])
            case _:
                said = [each["content"] for each in await self.chat.messages() if each["role"] == "user"]
                runs = await self._list("ListRuns", **self.project, session_id=self.chat.session_id)
                assert len(said) == runs["total"]
                return sum(each in texts for each in said)

    async def _list(self, rpc: str, **query: Any) -> Event:
        listed: Event = (await self.caller.ask(Door.HTTP, rpc, **query)).made
        return listed


def result(rpc: str, answer: Answer) -> Any:
    """What every repetition of a call answers, at whatever moment: not how far the run has come that it leads to."""
    match rpc:
        case "CreateRun":
            return {name: answer.made[name] for name in ("id", "session_id", "mode", "created_at")}
        case "StreamMessage":
            [final] = [event for event in answer.made if event["final"]]
            # It has no id for whoever comes before it is recorded as published.
            return {**final, "id": None}
        case _:
            return answer.made


def run_of(rpc: str, answer: Answer) -> str:
    name = "id" if rpc == "CreateRun" else "run_id"
    return str(result(rpc, answer)[name])


def new_key() -> str:
    return str(uuid.uuid4())


def words(script: Script | None = None) -> str:
    """A text that nobody said before; with a script, one that the model follows."""
    return f"Once {uuid.uuid4()} {'' if script is None else script.directive()}".strip()


@pytest_asyncio.fixture
async def caller(suite: Suite, ann: Api) -> AsyncIterator[Caller]:
    async with calling(suite, ann.http.headers["authorization"].removeprefix("Bearer ")) as ready:
        yield ready


@pytest_asyncio.fixture
async def place(ann: Api, caller: Caller) -> Place:
    return await place_of(ann, caller)


async def place_of(api: Api, caller: Caller, project_id: str | None = None) -> Place:
    """A new session, in a new project unless one is given."""
    chat = await api.new_chat(project_id)
    agents = await answer(api.http.get(f"{chat.project_path}/agents"))
    # Not the one that is spoken to, which remembers that too.
    return Place(caller, chat, next(each["id"] for each in agents["agents"] if each["name"] != AGENT))


# -- at once ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rpc", sorted(KEYED))
async def test_twenty_at_once_with_one_key_make_one_and_all_hear_of_it(place: Place, rpc: str) -> None:
    key, text = new_key(), words()
    doors = cycle(DOORS)
    answers = await asyncio.gather(*(place.ask(next(doors), rpc, key, text) for _ in range(20)))
    first = result(rpc, answers[0])
    assert [result(rpc, each) for each in answers] == [first] * 20
    assert await place.count(rpc, text) == 1


@pytest.mark.parametrize("rpc", sorted(KEYED))
async def test_of_twenty_at_once_with_one_key_and_different_contents_one_wins(place: Place, rpc: str) -> None:
    key, texts = new_key(), [words() for _ in range(20)]
    doors = cycle(DOORS)
    answers = await asyncio.gather(*(place.ask(next(doors), rpc, key, text) for text in texts))
    ends = sorted((each.code or "", each.reason or "") for each in answers)
    assert ends == [("", "")] + [("ALREADY_EXISTS", "REQUEST_ID_REUSED")] * 19
    assert await place.count(rpc, *texts) == 1


@pytest.mark.parametrize("rpc", sorted(KEYED - {"CreateProject"}))
async def test_same_key_in_another_project_is_other_content(ann: Api, place: Place, rpc: str) -> None:
    other = await place_of(ann, place.caller)
    key, text = new_key(), words()
    result(rpc, await place.ask(Door.HTTP, rpc, key, text))
    for door in DOORS:
        assert (await other.ask(door, rpc, key, text)).reason == "REQUEST_ID_REUSED"
    assert await other.count(rpc, text) == 0


async def test_users_with_one_key_do_not_meet(place: Place, suite: Suite, bob: Api) -> None:
    key, text = new_key(), words()
    async with calling(suite, bob.http.headers["authorization"].removeprefix("Bearer ")) as caller:
        his = await place_of(bob, caller)
        for rpc in ("CreateProject", "CreateAgent", "CreateSession", "AddMemory", "SendMessage"):
            first, second = await asyncio.gather(
                place.ask(Door.HTTP, rpc, key, text), his.ask(Door.GRPC, rpc, key, f"{text}, says Bob")
            )
            assert first.made["id"] != second.made["id"]
            assert await his.count(rpc, text) == 0


# -- the same content ---------------------------------------------------------------------------------------------

SPELLED_OUT: dict[str, dict[str, Any]] = {
    "CreateProject": {"project": {"workspace_path": None, "id": "of no meaning", "name": "Once"}},
    "CreateAgent": {
        "agent": {
            "config": {"tools": [], "temperature": 0.7, "concurrency_limit": 2, "memory": {"top_k": 5}, "metadata": {}},
            "status": "busy",
            "name": "Once",
        }
    },
    "CreateSession": {"session": {"message_count": 7, "title": "Once"}},
    "AddMemory": {
        "memory": {
            "tags": [],
            "success": True,
            "interaction_type": "direct_call",
            "metadata": {},
            "score": 0.5,
            "content": "Once",
            "session_id": "of no meaning",
        }
    },
    **{rpc: {"on_busy": "queue"} for rpc in SENDING},
}


@pytest.mark.parametrize("rpc", sorted(KEYED))
async def test_content_is_what_is_meant_however_it_is_spelled(place: Place, rpc: str) -> None:
    key = new_key()
    first = result(rpc, await place.ask(Door.HTTP, rpc, key, "Once"))
    for door in DOORS:
        assert result(rpc, await place.ask(door, rpc, key, "Once", **SPELLED_OUT[rpc])) == first


# -- sending, and joining again -----------------------------------------------------------------------------------


async def test_a_message_sent_in_one_way_is_joined_in_any_other(ann: Api, caller: Caller, model: FakeModel) -> None:
    project = await ann.new_project()

    async def first_then(first: str, second: str) -> None:
        place = await place_of(ann, caller, project["id"])
        key, text = new_key(), words()
        one = await place.ask(Door.HTTP, first, key, text)
        two = await place.ask(Door.GRPC, second, key, text)
        assert run_of(first, one) == run_of(second, two)
        run = await place.chat.run_after(run_of(first, one))
        assert run["state"] == "succeeded"
        assert [each["content"] for each in await place.chat.messages()] == [text, DEFAULT_ANSWER]
        assert len(model.exchanges(text)) == 1

    async with asyncio.TaskGroup() as group:
        for first, second in product(SENDING, repeat=2):
            group.create_task(first_then(first, second), name=f"{first}, then {second}")


async def test_send_that_timed_out_is_watched_to_its_end(place: Place, model: FakeModel) -> None:
    key, gate = new_key(), str(uuid.uuid4())
    text = words(Script(gate=gate))
    late = await place.caller.ask(
        Door.GRPC, "SendMessage", timeout=2.5, request_id=key, **place.content("SendMessage", text)
    )
    assert (late.code, late.reason) == ("DEADLINE_EXCEEDED", "RUN_NOT_FINISHED")
    assert late.metadata is not None
    async with place.chat.stream(text, request_id=key) as stream:
        so_far = await stream.until("message_snapshot")
        assert DEFAULT_ANSWER.startswith(so_far["payload"]["text"])
        model.open_gate(gate)
        watch = await stream.to_end()
    assert watch.final()["run_id"] == late.metadata["run_id"]
    assert list(watch.answers.texts.values()) == [DEFAULT_ANSWER]
    assert watch.ended == {"reason": "run_finished", "resumable": False}
    # And once more, now that it is over: told from its timeline.
    over = await place.ask(Door.GRPC, "StreamMessage", key, text)
    assert result("StreamMessage", over) == {**watch.final(), "id": None}
    assert await place.count("SendMessage", text) == 1


async def fail(place: Place, text: str, key: str, model: FakeModel) -> str:
    failed = await place.ask(Door.HTTP, "SendMessage", key, text)
    assert failed.metadata is not None
    return failed.metadata["run_id"]


async def cancel(place: Place, text: str, key: str, model: FakeModel) -> str:
    run = (await place.ask(Door.HTTP, "CreateRun", key, text)).made
    await eventually(lambda: model.open_now(text))
    assert (await place.chat.cancel(run["id"])).status_code == 200
    return str(run["id"])


@pytest.mark.parametrize(
    ("end", "script", "reason", "final", "state"),
    [
        (fail, Script(status=400), "RUN_FAILED", "run_failed", "failed"),
        (cancel, Script(fault="hang"), "RUN_CANCELLED", "run_cancelled", "cancelled"),
    ],
)
async def test_run_that_ended_without_an_answer_is_joined_and_not_tried_again(
    place: Place,
    model: FakeModel,
    end: Callable[[Place, str, str, FakeModel], Any],
    script: Script,
    reason: str,
    final: str,
    state: str,
) -> None:
    key, text = new_key(), words(script)
    run_id = await end(place, text, key, model)
    for door in DOORS:
        sent = await place.ask(door, "SendMessage", key, text)
        assert (sent.reason, (sent.metadata or {}).get("run_id")) == (reason, run_id)
        assert result("StreamMessage", await place.ask(door, "StreamMessage", key, text))["type"] == final
        assert (await place.ask(door, "CreateRun", key, text)).made["state"] == state
    assert await place.count("CreateRun", text) == 1
    assert len(model.exchanges(text)) == 1


# -- what is gone -------------------------------------------------------------------------------------------------


async def test_what_was_deleted_is_not_made_again_by_a_late_repetition(place: Place) -> None:
    caller = place.caller
    keys = {rpc: new_key() for rpc in KEYED}

    async def again(reasons: dict[str, str]) -> None:
        for rpc, reason in reasons.items():
            for door in DOORS:
                answer = await place.ask(door, rpc, keys[rpc], "Once")
                assert (answer.code, answer.reason) == ("NOT_FOUND", reason)

    agent, session, memory = [
        (await place.ask(Door.HTTP, rpc, keys[rpc], "Once")).made
        for rpc in ("CreateAgent", "CreateSession", "AddMemory")
    ]
    for rpc in SENDING:
        result(rpc, await place.ask(Door.HTTP, rpc, keys[rpc], "Once"))
    assert (await caller.ask(Door.GRPC, "DeleteMemory", **place.agent, memory_id=memory["id"])).made == {}
    assert (await caller.ask(Door.HTTP, "DeleteAgent", **place.project, agent_id=agent["id"])).made == {}
    assert (await caller.ask(Door.GRPC, "DeleteSession", **place.project, session_id=session["id"])).made == {}
    assert (await caller.ask(Door.HTTP, "DeleteSession", **place.session)).made == {}
    await again(
        {
            "CreateAgent": "AGENT_NOT_FOUND",
            "CreateSession": "SESSION_NOT_FOUND",
            "AddMemory": "MEMORY_NOT_FOUND",
            **dict.fromkeys(SENDING, "SESSION_NOT_FOUND"),
        }
    )
    assert await place.count("CreateAgent", "Once") == 0
    assert await place.count("CreateSession", "Once") == 0

    project = (await place.ask(Door.HTTP, "CreateProject", keys["CreateProject"], "Once")).made
    for project_id in (project["id"], place.chat.project_id):
        assert (await caller.ask(Door.HTTP, "DeleteProject", project_id=project_id)).made == {}
    await again({"CreateProject": "PROJECT_NOT_FOUND"})


# -- across a crash -----------------------------------------------------------------------------------------------


async def test_answer_that_a_crash_swallowed_is_heard_by_asking_again(
    ann: Api, suite: Suite, model: FakeModel, place: Place
) -> None:
    token = ann.http.headers["authorization"].removeprefix("Bearer ")
    unfinished = await place_of(ann, place.caller, place.chat.project_id)
    gate = str(uuid.uuid4())
    asked = [
        *((place, rpc, new_key(), words()) for rpc in sorted(KEYED - {"StreamMessage", "CreateRun"})),
        (unfinished, "SendMessage", new_key(), words(Script(gate=gate))),
    ]
    async with (
        swallowing(suite.grpc_address("projects")) as projects,
        swallowing(suite.grpc_address("agents")) as agents,
        swallowing(suite.grpc_address("orchestrator")) as orchestrator,
        calling(
            suite, token, projects=projects.address, agents=agents.address, orchestrator=orchestrator.address
        ) as unheard,
        asyncio.TaskGroup() as group,
    ):
        calls = [
            group.create_task(unheard.ask(Door.GRPC, rpc, request_id=key, **where.content(rpc, text)))
            for where, rpc, key, text in asked
        ]
        # All is committed, and the last one's answer still being written.
        await eventually(lambda: [len(each.answered) for each in (projects, agents, orchestrator)] == [1, 2, 2])
        await eventually(lambda: model.open_now(gate))
        await suite.kill()
        assert [(await call).code for call in calls] == ["UNAVAILABLE"] * len(asked)
    await suite.start()
    model.open_gate(gate)
    answers = await asyncio.gather(*(where.ask(Door.HTTP, rpc, key, text) for where, rpc, key, text in asked))
    for (where, rpc, _, text), said in zip(asked, answers, strict=True):
        assert await where.count(rpc, text) == 1
        assert said.made["id"]
    for where, text in ((place, asked[-2][3]), (unfinished, asked[-1][3])):
        assert [each["content"] for each in await where.chat.messages()] == [text, DEFAULT_ANSWER]
    assert len(model.exchanges(asked[-2][3])) == 1
