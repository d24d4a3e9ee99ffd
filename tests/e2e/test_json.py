"""The JSON of the contract, held against a live suite: fields, times, masks, lists, and how a path may be written."""

import re
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.approving import asking, call, waiting
from tests.e2e.client import Api, Chat, answer, problem

pytestmark = pytest.mark.one_layout

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NOWHERE = "00000000-0000-4000-8000-000000000000"
LONG_AGO = "2001-01-01T00:00:00.000Z"

PROJECT = {"id", "user_id", "name", "workspace_path", "created_at", "updated_at"}
MEMORY_CONFIG = {"top_k", "min_score"}
AGENT_CONFIG = {
    *("system_prompt", "model", "tools", "concurrency_limit", "burst_limit", "temperature", "max_tokens"),
    *("memory", "metadata"),
}
AGENT = {"id", "project_id", "name", "status", "config", "created_at", "updated_at"}
SESSION = {"id", "project_id", "title", "message_count", "created_at", "updated_at", "last_event_id"}
MESSAGE = {"id", "session_id", "run_id", "role", "content", "agent_id", "timestamp", "metadata"}
MEMORY = {
    *("id", "agent_id", "session_id", "content", "interaction_type", "timestamp", "success", "tags", "metadata"),
    "score",
}
USAGE = {"prompt_tokens", "completion_tokens", "model_calls"}
RUN = {
    *("id", "session_id", "mode", "state", "plan", "message_id", "retry_of", "error", "stop_reason", "usage"),
    *("approvals", "created_at", "started_at", "finished_at", "last_event_id"),
}
TASK = {
    *("id", "agent_id", "agent_name", "title", "instruction", "depends_on", "state", "attempt", "output", "error"),
    *("usage", "started_at", "finished_at"),
}
USER = {"id", "email", "created_at"}


@pytest_asyncio.fixture(scope="module")
async def chat(ann: Api) -> Chat:
    """A chat in which one message was sent and answered."""
    chat = await ann.new_chat()
    reply = await answer(chat.send("Hello."))
    await chat.recorded(reply["run_id"])
    return chat


def times(value: Any) -> list[str]:
    """All that is written under a name of a time, however deep."""
    if isinstance(value, list):
        return [time for each in value for time in times(each)]
    if not isinstance(value, dict):
        return []
    own = [each for name, each in value.items() if name.endswith("_at") or name == "timestamp"]
    return [time for time in own if time is not None] + [time for each in value.values() for time in times(each)]


async def test_every_field_is_always_there_and_times_have_milliseconds(ann: Api, chat: Chat) -> None:
    project = await answer(ann.http.get(chat.project_path))
    agents = await answer(ann.http.get(f"{chat.project_path}/agents"))
    session = await answer(ann.http.get(chat.session_path))
    fresh = await answer(ann.http.post(f"{chat.project_path}/chat/sessions", json={}), 201)
    messages = await chat.messages()
    listed = await answer(ann.http.get(f"{chat.project_path}/runs"))
    run = await chat.run(listed["runs"][0]["id"])
    [task] = run["plan"]["tasks"]
    assert project.keys() == PROJECT
    assert (project["workspace_path"], fresh["title"], fresh["last_event_id"]) == (None, None, None)
    assert session.keys() == fresh.keys() == SESSION
    assert [agent.keys() for agent in agents["agents"]] == [AGENT] * 3
    assert all(agent["config"].keys() == AGENT_CONFIG for agent in agents["agents"])
    assert all(agent["config"]["memory"].keys() == MEMORY_CONFIG for agent in agents["agents"])
    assert [message.keys() for message in messages] == [MESSAGE] * 2
    assert run.keys() == listed["runs"][0].keys() == RUN
    assert task.keys() == TASK
    remembered = await answer(ann.http.get(f"{chat.project_path}/agents/{messages[1]['agent_id']}/memory"))
    assert [memory.keys() for memory in remembered["memories"]] == [MEMORY]
    assert remembered["memories"][0]["score"] is None
    assert run["usage"].keys() == task["usage"].keys() == USAGE
    assert (await answer(ann.http.get("/my"))).keys() == USER
    assert (run["mode"], run["state"], task["state"]) == ("direct", "succeeded", "succeeded")
    assert [message["role"] for message in messages] == ["user", "assistant"]
    assert {agent["status"] for agent in agents["agents"]} == {"ready"}
    found = times([project, agents, session, fresh, messages, run, remembered])
    assert len(found) > 15
    assert [time for time in found if not TIME.fullmatch(time)] == []


OUTPUT_ONLY: dict[str, tuple[str, dict[str, Any]]] = {
    "project": ("", {"id": NOWHERE, "user_id": NOWHERE, "created_at": LONG_AGO, "updated_at": [None]}),
    "agent": (
        "/agents/{agent}",
        {"id": 5, "project_id": NOWHERE, "status": "error", "created_at": LONG_AGO, "updated_at": {"a": 1}},
    ),
    "session": (
        "/chat/sessions/{session}",
        {"id": None, "project_id": {}, "message_count": 99, "created_at": "x", "updated_at": "", "last_event_id": "1"},
    ),
}


@pytest.mark.parametrize("kind", OUTPUT_ONLY)
async def test_what_the_server_sets_is_ignored_and_no_change_moves_no_time(ann: Api, chat: Chat, kind: str) -> None:
    path, fields = OUTPUT_ONLY[kind]
    agent = (await answer(ann.http.get(f"{chat.project_path}/agents")))["agents"][0]
    path = chat.project_path + path.format(agent=agent["id"], session=chat.session_id)
    before = await answer(ann.http.get(path))
    for changes in ({}, fields, {name: before[name] for name in fields}):
        assert await answer(ann.http.patch(path, json=changes)) == before
    assert await answer(ann.http.get(path)) == before


async def test_put_of_what_was_read_changes_nothing_but_the_time(ann: Api, chat: Chat) -> None:
    agent = await answer(ann.http.post(f"{chat.project_path}/agents", json={"name": "Ida"}), 201)
    for path in (chat.project_path, f"{chat.project_path}/agents/{agent['id']}"):
        before = await answer(ann.http.get(path))
        after = await answer(ann.http.put(path, json=before))
        assert {**after, "updated_at": None} == {**before, "updated_at": None}
        assert after["updated_at"] >= before["updated_at"]


async def test_patch_changes_its_keys_and_put_everything(ann: Api, chat: Chat) -> None:
    plain = await answer(ann.http.post(f"{chat.project_path}/agents", json={"name": "Plain"}), 201)
    config = {
        "system_prompt": "Be brief.",
        "tools": ["search_memory", "ask_agent"],
        "burst_limit": 4,
        "temperature": 1.5,
        "memory": {"top_k": 0, "min_score": -0.5},
        "metadata": {"a": {"b": 1, "c": [None, 2.5, "x"]}, "d": True},
    }
    made = await answer(ann.http.post(f"{chat.project_path}/agents", json={"name": "Eve", "config": config}), 201)
    assert made["config"] == {**plain["config"], **config}
    path = f"{chat.project_path}/agents/{made['id']}"
    steps: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"memory": {"top_k": 7}}, {"memory": {"top_k": 7, "min_score": -0.5}}),
        # A Struct and a list are replaced whole.
        ({"metadata": {"a": {"z": 1}}}, {"metadata": {"a": {"z": 1}}}),
        ({"tools": []}, {"tools": []}),
        # null clears what is optional: the server's default is there again, if it has one.
        ({"burst_limit": None, "temperature": None}, {"burst_limit": None, "temperature": 0.7}),
        ({"memory": {"min_score": None}}, {"memory": {"top_k": 7, "min_score": 0}}),
        ({"metadata": {}}, {"metadata": {}}),
        ({"system_prompt": ""}, {"system_prompt": ""}),
    ]
    for changes, changed in steps:
        config = {**made["config"], **changed}
        made = await answer(ann.http.patch(path, json={"config": changes}))
        assert made["config"] == config
    await answer(ann.http.patch(path, json={"config": {"tools": ["remember"], "metadata": {"k": "v"}}}))
    replaced = await answer(ann.http.put(path, json={"name": "Eva"}))
    assert (replaced["name"], replaced["config"]) == ("Eva", plain["config"])


async def test_null_clears_a_path_and_a_title_and_put_what_it_leaves_out(ann: Api) -> None:
    lab = {"name": "Lab", "workspace_path": "/srv"}
    project = await answer(ann.http.post("/my/projects", json=lab), 201)
    path = f"/my/projects/{project['id']}"
    assert (await answer(ann.http.patch(path, json={"workspace_path": None})))["workspace_path"] is None
    await answer(ann.http.patch(path, json={"workspace_path": "/srv"}))
    assert (await answer(ann.http.put(path, json={"name": "Lab"})))["workspace_path"] is None
    session = await answer(ann.http.post(f"{path}/chat/sessions", json={"title": "Tea"}), 201)
    changed = await answer(ann.http.patch(f"{path}/chat/sessions/{session['id']}", json={"title": None}))
    assert changed["title"] is None


@pytest.mark.parametrize(("asked", "given"), [("", 4), ("?page_size=0", 4), ("?page_size=3", 3), ("?page_size=201", 4)])
async def test_page_size_has_a_default_and_a_greatest(ann: Api, asked: str, given: int) -> None:
    chat = await ann.new_chat()
    await answer(ann.http.post(f"{chat.project_path}/agents", json={"name": "Fourth"}), 201)
    page = await answer(ann.http.get(f"{chat.project_path}/agents{asked}"))
    assert (len(page["agents"]), page["total"], bool(page["next_page_token"])) == (given, 4, given < 4)


async def test_page_size_may_change_from_page_to_page_and_nothing_else(ann: Api, bob: Api) -> None:
    chat = await ann.new_chat()
    path = f"{chat.project_path}/chat/sessions"
    for _ in range(4):
        await answer(ann.http.post(path, json={}), 201)
    everything = (await answer(ann.http.get(path)))["sessions"]
    first = await answer(ann.http.get(f"{path}?page_size=1"))
    token = first["next_page_token"]
    second = await answer(ann.http.get(path, params={"page_size": 3, "page_token": token}))
    third = await answer(ann.http.get(path, params={"page_token": second["next_page_token"]}))
    assert first["sessions"] + second["sessions"] + third["sessions"] == everything
    other = await ann.new_chat()
    his = await bob.new_chat()
    for api, project in ((ann, other.project_path), (bob, his.project_path)):
        refused = problem(
            await api.http.get(f"{project}/chat/sessions", params={"page_token": token}), 400, "INVALID_PAGE_TOKEN"
        )
        assert [error["field"] for error in refused["errors"]] == ["page_token"]


async def test_page_token_of_runs_is_bound_to_their_filters(ann: Api) -> None:
    chat = await ann.new_chat()
    for text in ("One.", "Two.", "Three."):
        await answer(chat.send(text))
    path = f"{chat.project_path}/runs"
    filters: list[list[tuple[str, str]]] = [
        [],
        [("session_id", chat.session_id)],
        [("state", "succeeded")],
        [("state", "succeeded"), ("state", "failed")],
    ]
    tokens = []
    for each in filters:
        page = await answer(ann.http.get(path, params=[*each, ("page_size", "1")]))
        assert page["total"] == 3
        tokens.append(page["next_page_token"])
    for token, of in zip(tokens, filters, strict=True):
        for each in filters:
            response = await ann.http.get(path, params=[*each, ("page_token", token)])
            assert response.status_code == (200 if each is of else 400), (each, of)
    # The order of repeated filters, and their repetition, say nothing.
    turned = [*[("state", state) for state in ("failed", "succeeded", "failed")], ("page_token", tokens[3])]
    assert len((await answer(ann.http.get(path, params=turned)))["runs"]) == 2
    nothing = await answer(ann.http.get(path, params=[("state", "cancelled"), ("state", "queued")]))
    assert (nothing["runs"], nothing["total"], nothing["next_page_token"]) == ([], 0, "")


async def test_id_is_one_in_either_case(ann: Api) -> None:
    chat = await ann.new_chat()
    shouted = Chat(ann.http, chat.project_id.upper(), chat.session_id.upper())
    agent = (await answer(ann.http.get(f"{chat.project_path}/agents")))["agents"][0]
    reply = await answer(shouted.send("Hello.", target_agent=agent["id"].upper()))
    assert (reply["session_id"], reply["agent_id"]) == (chat.session_id, agent["id"])
    await chat.recorded(reply["run_id"])
    assert await shouted.messages() == await chat.messages()
    assert await shouted.run(reply["run_id"].upper()) == await chat.run(reply["run_id"])
    listed = await answer(ann.http.get(f"{shouted.project_path}/runs?session_id={shouted.session_id}"))
    assert [run["id"] for run in listed["runs"]] == [reply["run_id"]]
    changed = await answer(ann.http.patch(f"{chat.project_path}/agents/{agent['id'].upper()}", json={}))
    assert changed == await answer(ann.http.get(f"{chat.project_path}/agents/{agent['id']}"))


async def test_trailing_slash_is_optional_and_head_and_options_answer_everywhere(ann: Api, chat: Chat) -> None:
    run_id = (await chat.messages())[0]["run_id"]
    agent_id = (await chat.messages())[1]["agent_id"]
    memories = await answer(ann.http.get(f"{chat.project_path}/agents/{agent_id}/memory"))
    other = await ann.new_chat(chat.project_id)
    asking_run = await other.start(asking([call("write_file", path="a", content="A")]))
    ids = {
        "project_id": chat.project_id,
        "session_id": chat.session_id,
        "run_id": run_id,
        "agent_id": agent_id,
        "memory_id": memories["memories"][0]["id"],
        "approval_id": (await waiting(other, asking_run["id"]))[0]["id"],
    }
    described = (await answer(ann.http.get("/openapi.json")))["paths"]
    templates = {path: set(item) & {"get", "put", "post", "patch", "delete"} for path, item in described.items()}
    pages = {path: {"get"} for path in ("/health", "/ready", "/docs", "/redoc", "/openapi.json")}
    assert len(templates) > 12
    for template, methods in {**templates, **pages}.items():
        path = template.format_map(ids).rstrip("/")
        for spelling in (path, f"{path}/"):
            if template.startswith("/my"):
                options = await ann.http.options(spelling)
                allowed = set(options.headers["allow"].lower().split(", "))
                assert (options.status_code, allowed) == (204, methods | {"options"} | ({"head"} & _head(methods)))
            if "get" in methods and not template.rstrip("/").endswith("/events"):
                got, head = await ann.http.get(spelling), await ann.http.head(spelling)
                assert (got.status_code, head.status_code, head.content) == (200, 200, b""), spelling
                assert head.headers["content-type"] == got.headers["content-type"]


def _head(methods: set[str]) -> set[str]:
    return {"head"} if "get" in methods else set()
