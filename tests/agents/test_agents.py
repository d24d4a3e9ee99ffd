"""Worker spaces and agents, over a real socket."""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from codelab.agents.v1 import agent_pb2, agent_service_pb2, worker_space_service_pb2
from google.protobuf import json_format

from services.agents.__main__ import running
from services.runtime.errors import StartupError
from services.runtime.settings import Settings
from tests.agents.calls import SECONDS, Agents, User, events_of, new_uuid, refused, serving

NOT_FOUND = grpc.StatusCode.NOT_FOUND
INVALID = grpc.StatusCode.INVALID_ARGUMENT
EXISTS = grpc.StatusCode.ALREADY_EXISTS

DEFAULTS = {
    "system_prompt": "",
    "model": "",
    "tools": [],
    "concurrency_limit": 2,
    "temperature": 0.7,
    "max_tokens": 4096,
    "memory": {"top_k": 5, "min_score": 0.0},
    "metadata": {},
}
FULL = {
    "system_prompt": "Be brief.",
    "model": "m-1",
    "tools": ["search_memory", "remember"],
    "concurrency_limit": 7,
    "burst_limit": 20,
    "temperature": 1.25,
    "max_tokens": 100,
    "memory": {"top_k": 0, "min_score": -0.5},
    "metadata": {"team": "blue", "nested": {"list": [1.0, "two", None]}},
}


def draft(name: str = "Helper", **config: object) -> agent_pb2.Agent:
    return json_format.ParseDict({"name": name, "config": config}, agent_pb2.Agent())


def config_of(agent: agent_pb2.Agent) -> dict[str, object]:
    values = json_format.MessageToDict(
        agent.config, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    assert isinstance(values, dict)
    return values


# Worker spaces


async def test_space_begins_with_the_starter_pack(agents: Agents, user: User) -> None:
    made = await agents.create_space(user)
    assert [agent.name for agent in made] == ["CodeAssistant", "DataAnalyst", "DocumentWriter"]
    assert [agent.name for agent in (await agents.list(user)).agents] == [agent.name for agent in made]
    for agent in made:
        assert agent.config.system_prompt.startswith(f"You are {agent.name}")
        assert agent.status == agent_pb2.AGENT_STATUS_READY
        assert agent.project_id == user.project_id


async def test_twenty_creations_at_once_make_three_agents(agents: Agents, user: User) -> None:
    made = await asyncio.gather(*(agents.create_space(user) for _ in range(20)))
    assert {agent.id for pack in made for agent in pack} == {agent.id for agent in made[0]}
    assert (await agents.list(user)).total == 3


async def test_deleted_space_does_not_come_back(agents: Agents, user: User) -> None:
    agent = (await agents.create_space(user))[0]
    await agents.delete_space(user)
    await agents.delete_space(user)
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "PROJECT_DELETED"):
        await agents.create_space(user)
    with refused(NOT_FOUND, "PROJECT_NOT_FOUND"):
        await agents.create(user, draft())
    with refused(NOT_FOUND, "AGENT_NOT_FOUND"):
        await agents.get(user, agent.id)


async def test_space_of_another_user_looks_like_none(agents: Agents, user: User, stranger: User) -> None:
    await agents.create_space(user)
    await agents.delete_space(stranger, user.project_id)
    assert (await agents.list(user)).total == 3
    newcomer = agents.user()
    with refused(NOT_FOUND, "PROJECT_NOT_FOUND"):
        await agents.create_space(newcomer, user.project_id)


async def test_spaces_and_executions_admit_services_only(agents: Agents, user: User) -> None:
    await agents.create_space(user)
    person = agents.persons_metadata(user)
    request = worker_space_service_pb2.DeleteWorkerSpaceRequest(project_id=user.project_id)
    with refused(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED"):
        await agents.spaces.DeleteWorkerSpace(request, metadata=person, timeout=SECONDS)
    listed = agent_service_pb2.ListAgentsRequest(project_id=user.project_id)
    assert (await agents.agents.ListAgents(listed, metadata=person, timeout=SECONDS)).total == 3


async def test_spaces_and_agents_outlive_the_process(tmp_path: Path) -> None:
    async with serving(tmp_path) as agents:
        user = agents.user()
        made = await agents.create_space(user)
    async with serving(tmp_path) as agents:
        assert list((await agents.list(user)).agents) == made


async def test_second_service_on_one_data_folder_does_not_start(agents: Agents, tmp_path: Path) -> None:
    settings = Settings.load({"CODELAB_DATA_DIR": str(tmp_path), "CODELAB_GRPC_PORT_BASE": "14321"})
    with pytest.raises(StartupError, match="already runs on the data folder"):
        async with running(settings):
            pass


# Isolation


@pytest.mark.parametrize("whose", ["another user's", "the own other project's", "none"])
async def test_agent_elsewhere_is_answered_like_a_missing_one(
    agents: Agents, user: User, stranger: User, whose: str
) -> None:
    mine = (await agents.create_space(user))[0]
    await agents.create_space(stranger)
    caller, project_id, agent_id = {
        "another user's": (stranger, user.project_id, mine.id),
        "the own other project's": (user, new_uuid(), mine.id),
        "none": (user, user.project_id, new_uuid()),
    }[whose]
    if whose == "the own other project's":
        await agents.create_space(user, project_id)

    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "GetAgent": lambda: agents.get(caller, agent_id, project_id),
        "UpdateAgent": lambda: agents.update(caller, agent_id, draft("Stolen"), "name", project_id=project_id),
        "UpdateAgent, empty mask": lambda: agents.update(caller, agent_id, draft("Stolen"), project_id=project_id),
        "DeleteAgent": lambda: agents.delete(caller, agent_id, project_id),
        "ResolveAgent": lambda: agents.resolve(caller, agent_id, project_id),
        "Execute": lambda: events_of(agents.execute(caller, agent_id, "Hello.", project_id=project_id)),
    }
    answers = set()
    for call in calls.values():
        with refused(NOT_FOUND, "AGENT_NOT_FOUND") as errors:
            await call()
        answers.add((errors[0].detail, *errors[0].metadata.values()))
    assert answers == {(f"agent {agent_id} does not exist in this project", agent_id)}
    assert await agents.get(user, mine.id) == mine


async def test_project_elsewhere_is_answered_like_a_missing_one(agents: Agents, user: User, stranger: User) -> None:
    await agents.create_space(user)
    await agents.create_space(stranger)
    for project_id in (user.project_id, new_uuid(), "no uuid at all"):
        with refused(NOT_FOUND, "PROJECT_NOT_FOUND"):
            await agents.list(stranger, project_id=project_id)
        with refused(NOT_FOUND, "PROJECT_NOT_FOUND"):
            await agents.create(stranger, draft(), project_id=project_id)
        with refused(NOT_FOUND, "AGENT_NOT_FOUND"):
            await agents.resolve(stranger, "CodeAssistant", project_id=project_id)


async def test_same_names_in_two_projects_are_two_agents(agents: Agents, user: User, stranger: User) -> None:
    await agents.create_space(user)
    await agents.create_space(stranger)
    mine, theirs = await agents.resolve(user, "DataAnalyst"), await agents.resolve(stranger, "DataAnalyst")
    assert mine.id != theirs.id
    assert (mine.project_id, theirs.project_id) == (user.project_id, stranger.project_id)


# Creating


async def test_what_is_left_out_has_the_servers_defaults(agents: Agents, user: User) -> None:
    await agents.create_space(user)
    made = await agents.create(user, agent_pb2.Agent(name="Bare"))
    assert config_of(made) == DEFAULTS
    assert made.created_at == made.updated_at
    assert await agents.get(user, made.id) == made


async def test_everything_that_is_given_is_kept(agents: Agents, user: User) -> None:
    await agents.create_space(user)
    made = await agents.create(user, draft("Full", **FULL))
    assert config_of(made) == FULL
    assert await agents.get(user, made.id) == made


async def test_output_only_fields_are_ignored(agents: Agents, user: User) -> None:
    await agents.create_space(user)
    sent = draft()
    sent.id, sent.project_id, sent.status = new_uuid(), new_uuid(), agent_pb2.AGENT_STATUS_ERROR
    made = await agents.create(user, sent)
    assert (made.id == sent.id, made.project_id, made.status) == (False, user.project_id, agent_pb2.AGENT_STATUS_READY)


BROKEN = {
    "empty name": (draft(""), "agent.name"),
    "padded name": (draft(" padded "), "agent.name"),
    "long name": (draft("x" * 101), "agent.name"),
    "name like a UUID": (draft("0A8F1C3E-1111-4222-8333-444455556666"), "agent.name"),
    "no concurrency": (draft(concurrency_limit=0), "agent.config.concurrency_limit"),
    "hot": (draft(temperature=2.1), "agent.config.temperature"),
    "total recall": (draft(memory={"top_k": 101}), "agent.config.memory.top_k"),
    "nameless tool": (draft(tools=["", "ok"]), "agent.config.tools[0]"),
    "much metadata": (draft(metadata={"big": "x" * 17000}), "agent.config.metadata"),
}


@pytest.mark.parametrize("rule", BROKEN)
async def test_value_that_breaks_a_rule_is_refused_by_its_field(agents: Agents, user: User, rule: str) -> None:
    agent, field = BROKEN[rule]
    mine = (await agents.create_space(user))[0]
    with refused(INVALID, "INVALID_ARGUMENT") as errors:
        await agents.create(user, agent)
    assert [name for name, _ in errors[0].violations] == [field]
    with refused(INVALID, "INVALID_ARGUMENT") as errors:
        await agents.update(user, mine.id, agent, "*")
    assert [name for name, _ in errors[0].violations] == [field]
    assert await agents.get(user, mine.id) == mine


@pytest.mark.parametrize("mask", ["config", "config.tools", "*"])
async def test_name_that_no_tool_has_is_refused_with_what_is_meant(agents: Agents, user: User, mask: str) -> None:
    mine = (await agents.create_space(user))[0]
    sent = draft(tools=["ask_agent", "serch_memory", "poem", "poem"])
    expected = (
        (
            "agent.config.tools[1]",
            "no tool is named serch_memory, the nearest is search_memory: GET …/tools lists them",
        ),
        *((f"agent.config.tools[{place}]", "no tool is named poem: GET …/tools lists them") for place in (2, 3)),
    )
    for call in (lambda: agents.create(user, sent), lambda: agents.update(user, mine.id, sent, mask)):
        with refused(INVALID, "UNKNOWN_TOOL") as errors:
            await call()
        assert tuple(errors[0].violations) == expected
    assert await agents.get(user, mine.id) == mine


async def test_tool_that_is_listed_twice_is_listed_once(agents: Agents, user: User) -> None:
    await agents.create_space(user)
    made = await agents.create(user, draft(tools=["remember", "ask_agent", "remember"]))
    assert list(made.config.tools) == ["remember", "ask_agent"]
    changed = await agents.update(user, made.id, draft(tools=["ask_agent", "ask_agent"]), "config.tools")
    assert list(changed.config.tools) == ["ask_agent"]


async def test_names_that_no_tool_has_any_more_stay_until_they_are_taken_away(
    agents: Agents, user: User, tmp_path: Path
) -> None:
    mine = (await agents.create_space(user))[0]
    name_tools(tmp_path, mine.id, ["gone", "ask_agent"])
    before = await agents.update(user, mine.id, draft(temperature=0.5), "config.temperature")
    assert list(before.config.tools) == ["gone", "ask_agent"]
    assert config_of(await agents.update(user, mine.id, before, "*")) == config_of(before)
    with refused(INVALID, "UNKNOWN_TOOL") as errors:
        await agents.update(user, mine.id, draft(tools=["gone", "lost"]), "config.tools")
    assert [name for name, _ in errors[0].violations] == ["agent.config.tools[1]"]
    await agents.update(user, mine.id, draft(tools=["ask_agent"]), "config.tools")
    with refused(INVALID, "UNKNOWN_TOOL"):
        await agents.update(user, mine.id, draft(tools=["gone"]), "config.tools")


def name_tools(folder: Path, agent_id: str, tools: list[str]) -> None:
    """Let the agent have been given these by an earlier version."""
    with closing(sqlite3.connect(folder / "agents.db")) as connection, connection:
        change = "UPDATE user_agents SET config = json_set(config, '$.tools', json(?)) WHERE id = ?"
        assert connection.execute(change, (json.dumps(tools), agent_id)).rowcount == 1


async def test_taken_name_is_refused_by_its_field(agents: Agents, user: User) -> None:
    mine = (await agents.create_space(user))[0]
    with refused(EXISTS, "AGENT_NAME_TAKEN") as errors:
        await agents.create(user, draft("DataAnalyst"))
    assert [name for name, _ in errors[0].violations] == ["agent.name"]
    with refused(EXISTS, "AGENT_NAME_TAKEN"):
        await agents.update(user, mine.id, draft("DataAnalyst"), "name")


async def test_repeated_request_returns_the_first_agent(agents: Agents, user: User) -> None:
    await agents.create_space(user)
    made = await asyncio.gather(*(agents.create(user, draft(**FULL), request_id="key") for _ in range(5)))
    assert {agent.id for agent in made} == {made[0].id}
    with refused(EXISTS, "REQUEST_ID_REUSED"):
        await agents.create(user, draft("Other"), request_id="key")
    with refused(EXISTS, "AGENT_NAME_TAKEN"):
        await agents.create(user, draft(), request_id="another key")


# Lists


async def test_pages_follow_each_other_and_count_all(agents: Agents, user: User) -> None:
    await agents.create_space(user)
    for number in range(5):
        await agents.create(user, draft(f"Agent {number}"))
    names, token = [], ""
    while True:
        page = await agents.list(user, 3, token)
        assert page.total == 8
        names += [agent.name for agent in page.agents]
        token = page.next_page_token
        if not token:
            break
    newest = [f"Agent {number}" for number in reversed(range(5))]
    assert names == [*newest, "CodeAssistant", "DataAnalyst", "DocumentWriter"]


async def test_page_token_belongs_to_one_users_list_of_one_project(agents: Agents, user: User, stranger: User) -> None:
    await agents.create_space(user)
    await agents.create_space(stranger)
    token = (await agents.list(user, 1)).next_page_token
    for caller, wrong in ((stranger, token), (user, "rubbish"), (user, token[:-2])):
        with refused(grpc.StatusCode.OUT_OF_RANGE, "INVALID_PAGE_TOKEN"):
            await agents.list(caller, 1, wrong)


# Updating


@pytest.mark.parametrize(
    ("sent", "mask", "expected"),
    [
        ({"temperature": 0.1}, ["config.temperature"], {**FULL, "temperature": 0.1}),
        ({"temperature": 0.1, "model": "unnamed"}, ["config.temperature"], {**FULL, "temperature": 0.1}),
        ({"memory": {"top_k": 1}}, ["config.memory.top_k"], {**FULL, "memory": {"top_k": 1, "min_score": -0.5}}),
        ({"memory": {"top_k": 1}}, ["config.memory"], {**FULL, "memory": {"top_k": 1, "min_score": 0.0}}),
        ({"metadata": {"a": 1.0}}, ["config.metadata"], {**FULL, "metadata": {"a": 1.0}}),
        ({}, ["config.metadata"], {**FULL, "metadata": {}}),
        ({"tools": ["ask_agent"]}, ["config.tools"], {**FULL, "tools": ["ask_agent"]}),
        ({}, ["config.tools"], {**FULL, "tools": []}),
        ({}, ["config.burst_limit"], {key: value for key, value in FULL.items() if key != "burst_limit"}),
        ({}, ["config.concurrency_limit"], {**FULL, "concurrency_limit": 2}),
        ({}, ["config.temperature", "config.max_tokens"], {**FULL, "temperature": 0.7, "max_tokens": 4096}),
        ({"model": "m-2"}, ["config"], {**DEFAULTS, "model": "m-2"}),
        ({"model": "m-2"}, ["config", "config.memory.top_k"], {**DEFAULTS, "model": "m-2"}),
        ({"model": "m-2"}, ["*"], {**DEFAULTS, "model": "m-2"}),
        ({"model": "m-2"}, [], FULL),
        ({"model": "m-2"}, ["status", "id", "created_at"], FULL),
    ],
)
async def test_mask_says_what_changes(
    agents: Agents, user: User, sent: dict[str, object], mask: list[str], expected: dict[str, object]
) -> None:
    await agents.create_space(user)
    made = await agents.create(user, draft("Full", **FULL))
    changed = await agents.update(user, made.id, draft("Full", **sent), *mask)
    assert config_of(changed) == expected
    assert (changed.name, changed.id, changed.created_at) == (made.name, made.id, made.created_at)
    assert (changed.updated_at == made.updated_at) == (expected == FULL)
    assert await agents.get(user, made.id) == changed


@pytest.mark.parametrize("path", ["nonsense", "config.nonsense", "config.temperature.x", "config.metadata.fields"])
async def test_path_that_is_no_field_is_refused(agents: Agents, user: User, path: str) -> None:
    made = (await agents.create_space(user))[0]
    with refused(INVALID, "INVALID_ARGUMENT") as errors:
        await agents.update(user, made.id, draft(), path)
    assert [name for name, _ in errors[0].violations] == ["update_mask"]


async def test_rename_keeps_the_config(agents: Agents, user: User) -> None:
    made = (await agents.create_space(user))[0]
    renamed = await agents.update(user, made.id, draft("New name"), "name")
    assert (renamed.name, renamed.config) == ("New name", made.config)
    assert (await agents.resolve(user, "New name")).id == made.id
    with refused(NOT_FOUND, "AGENT_NOT_FOUND"):
        await agents.resolve(user, made.name)


async def test_target_is_an_id_or_an_exact_name(agents: Agents, user: User) -> None:
    made = (await agents.create_space(user))[0]
    assert await agents.resolve(user, made.name) == made
    assert await agents.resolve(user, made.id) == made
    assert await agents.resolve(user, made.id.upper()) == made
    with refused(NOT_FOUND, "AGENT_NOT_FOUND"):
        await agents.resolve(user, made.name.lower())


async def test_deleted_agent_is_gone(agents: Agents, user: User) -> None:
    made = (await agents.create_space(user))[0]
    await agents.delete(user, made.id)
    for call in (agents.get, agents.delete):
        with refused(NOT_FOUND, "AGENT_NOT_FOUND"):
            await call(user, made.id)
    assert (await agents.list(user)).total == 2
