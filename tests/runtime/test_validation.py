"""The rules that the contract declares, held against values."""

import math
from typing import Any

import pytest
from codelab.agents.v1 import agent_pb2, agent_service_pb2, memory_service_pb2, worker_space_service_pb2
from codelab.options.v1.options_pb2 import MethodRules
from codelab.projects.v1 import project_pb2, project_service_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from services.runtime.errors import InvalidArgument
from services.runtime.ids import new_id
from services.runtime.interceptors import Call
from services.runtime.validation import ValidationInterceptor, mask_paths, validate

NO_TIME = "is no time between the years 1 and 9999"
NO_LINE = "must be one line of text: no control characters, and no space at its ends"


def struct(values: dict[str, Any]) -> Struct:
    made = Struct()
    made.update(values)
    return made


def agent(name: str = "Ada", **config: Any) -> agent_service_pb2.CreateAgentRequest:
    made = agent_pb2.Agent(name=name, config=agent_pb2.AgentConfig(**config))
    return agent_service_pb2.CreateAgentRequest(project_id=new_id(), agent=made)


def space(project_id: str) -> worker_space_service_pb2.CreateWorkerSpaceRequest:
    return worker_space_service_pb2.CreateWorkerSpaceRequest(project_id=project_id)


def project(name: str) -> project_service_pb2.CreateProjectRequest:
    return project_service_pb2.CreateProjectRequest(project=project_pb2.Project(name=name))


def nested(levels: int) -> Struct:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return struct(value)


def update(mask: list[str], **fields: Any) -> agent_service_pb2.UpdateAgentRequest:
    return agent_service_pb2.UpdateAgentRequest(
        project_id="p", agent_id="a", agent=agent_pb2.Agent(**fields), update_mask=FieldMask(paths=mask)
    )


WRONG: dict[str, tuple[Message, list[tuple[str, str]]]] = {
    "required message": (project_service_pb2.CreateProjectRequest(), [("project", "is required")]),
    "required string": (project_service_pb2.GetProjectRequest(), [("project_id", "is required")]),
    "too short": (
        project_service_pb2.CreateProjectRequest(project=project_pb2.Project(name="x"), request_id=""),
        [("request_id", "must have at least 1 character")],
    ),
    "too long": (agent("x" * 101), [("agent.name", "must have at most 100 characters")]),
    "NUL": (agent("A\0B"), [("agent.name", "must not contain U+0000")]),
    "length in code points": (agent("🦉" * 101), [("agent.name", "must have at most 100 characters")]),
    "space at an end": (agent(" Ada"), [("agent.name", NO_LINE)]),
    "longer than a pattern should see": (
        project(" " * 1_000_000 + "\n"),
        [("project.name", "must have at most 200 characters")],
    ),
    "control characters": (project("a\nb"), [("project.name", NO_LINE)]),
    "another end of a line": (project("a\u2028b"), [("project.name", NO_LINE)]),
    "only spaces": (project("  "), [("project.name", NO_LINE)]),
    "minimum": (agent(concurrency_limit=0), [("agent.config.concurrency_limit", "must be at least 1")]),
    "maximum": (agent(max_tokens=1_000_001), [("agent.config.max_tokens", "must be at most 1000000")]),
    "fraction": (agent(temperature=2.5), [("agent.config.temperature", "must be at most 2")]),
    "minus infinity": (agent(temperature=-math.inf), [("agent.config.temperature", "must be a finite number")]),
    "number without presence": (
        project_service_pb2.ListProjectsRequest(page_size=-1),
        [("page_size", "must be at least 0")],
    ),
    "element": (agent(tools=["a", ""]), [("agent.config.tools[1]", "must have at least 1 character")]),
    "too many": (agent(tools=["a"] * 101), [("agent.config.tools", "must have at most 100 elements")]),
    "nested": (
        agent(memory=agent_pb2.MemoryConfig(top_k=101)),
        [("agent.config.memory.top_k", "must be at most 100")],
    ),
    "struct": (
        agent(metadata=struct({"a": "x" * 16384})),
        [("agent.config.metadata", "must have at most 16384 bytes of JSON")],
    ),
    "struct's size in UTF-8": (
        agent(metadata=struct({"a": "é" * 8189})),
        [("agent.config.metadata", "must have at most 16384 bytes of JSON")],
    ),
    "struct that is long on the wire": (
        agent(metadata=struct({"a": [0.0] * 20_000, "b": math.nan})),
        [("agent.config.metadata", "must have at most 16384 bytes of JSON")],
    ),
    "struct's numbers": (
        agent(metadata=struct({"a": [1, {"b": math.nan}], "c": -math.inf})),
        [
            ("agent.config.metadata.a[1].b", "must be a finite number"),
            ("agent.config.metadata.c", "must be a finite number"),
        ],
    ),
    "struct's texts": (
        agent(metadata=struct({"a": {"b": "\0"}})),
        [("agent.config.metadata.a.b", "must not contain U+0000")],
    ),
    "struct's keys": (
        agent(metadata=struct({"a": {"\0": 1}})),
        [("agent.config.metadata.a", "must not contain U+0000 in its keys")],
    ),
    "struct's depth": (
        agent(metadata=nested(26)),
        [("agent.config.metadata" + ".a" * 25, "must be nested at most 25 levels deep")],
    ),
    "more than anybody reads": (
        agent(tools=[""] * 101),
        [
            ("agent.config.tools", "must have at most 100 elements"),
            *((f"agent.config.tools[{n}]", "must have at least 1 character") for n in range(49)),
        ],
    ),
    "time beyond any": (
        memory_service_pb2.ListMemoriesRequest(project_id="p", agent_id="a", since=Timestamp(seconds=2**63 - 1)),
        [("since", NO_TIME)],
    ),
    "more than a second beyond a second": (
        memory_service_pb2.ListMemoriesRequest(project_id="p", agent_id="a", since=Timestamp(nanos=1_000_000_000)),
        [("since", NO_TIME)],
    ),
    "UUID": (space("x"), [("project_id", "must be a UUID")]),
    "UUID with more": (space(new_id() + "\n"), [("project_id", "must be a UUID")]),
    "several": (
        agent("", temperature=3, tools=[""]),
        [
            ("agent.name", "is required"),
            ("agent.config.tools[0]", "must have at least 1 character"),
            ("agent.config.temperature", "must be at most 2"),
        ],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_value_is_named(case: str) -> None:
    request, violations = WRONG[case]
    assert validate(request) == violations
    with pytest.raises(InvalidArgument) as caught:
        ValidationInterceptor().check_of(Call("", (), MethodRules()))(request)
    assert caught.value.violations == tuple(violations)


def test_not_a_number_is_no_number() -> None:
    assert validate(agent(temperature=math.nan)) == [("agent.config.temperature", "must be a finite number")]


@pytest.mark.parametrize(
    "request_",
    [
        agent(),
        agent("🦉" * 100),
        agent("a b"),
        agent(concurrency_limit=1, temperature=0.0, tools=["x"] * 100),
        agent(metadata=struct({})),
        agent(metadata=nested(25)),
        agent(metadata=struct({"a": "é" * 8188})),
        project("Käse  مختبر"),
        space(new_id().upper()),
        project_service_pb2.ListProjectsRequest(page_size=10_000),
        project_service_pb2.CreateProjectRequest(project=project_pb2.Project(name="x", workspace_path="")),
    ],
    ids=[
        "least",
        "most code points",
        "inner space",
        "limits",
        "empty struct",
        "deep struct",
        "large struct",
        "any script",
        "UUID",
        "large page",
        "empty",
    ],
)
def test_good_values_pass(request_: Message) -> None:
    assert validate(request_) == []


def test_output_only_fields_are_not_looked_at() -> None:
    request = agent()
    request.agent.id = "not a UUID"
    request.agent.status = 77
    assert validate(request) == []


def test_only_what_the_mask_names_is_looked_at() -> None:
    assert validate(update(["config"], config=agent_pb2.AgentConfig(temperature=1))) == []
    assert validate(update([], config=agent_pb2.AgentConfig(temperature=9))) == []
    assert validate(update(["config.tools"], config=agent_pb2.AgentConfig(temperature=9))) == []
    wrong = [("agent.config.temperature", "must be at most 2")]
    for mask in (["config"], ["config.temperature"], ["name", "config"]):
        assert validate(update(mask, name="Ada", config=agent_pb2.AgentConfig(temperature=9))) == wrong


def test_what_the_mask_names_is_required_of_the_resource() -> None:
    assert validate(update(["name"])) == [("agent.name", "is required")]
    assert validate(update(["*"])) == [("agent.name", "is required")]


def test_path_is_required_whatever_the_mask() -> None:
    request = agent_service_pb2.UpdateAgentRequest(agent=agent_pb2.Agent(), update_mask=FieldMask())
    assert validate(request) == [("project_id", "is required"), ("agent_id", "is required")]


@pytest.mark.parametrize(
    "path",
    [
        "owner",
        "config.owner",
        "name.first",
        "",
        "Name",
        "config.",
        "config.tools.0",
        "created_at.seconds",
        "config.metadata.fields",
    ],
)
def test_unknown_mask_path_is_refused(path: str) -> None:
    assert validate(update([path], name="Ada")) == [("update_mask", f"{path!r} is not a field")]


def test_star_stands_alone() -> None:
    assert validate(update(["*", "name"], name="Ada")) == [("update_mask", "'*' is not a field")]


def test_mask_names_no_output_only_fields() -> None:
    descriptor = agent_pb2.Agent.DESCRIPTOR
    assert mask_paths(FieldMask(paths=["*"]), descriptor) == {"name", "config"}
    mask = FieldMask(paths=["id", "name", "created_at", "config.memory.top_k"])
    assert validate(update(list(mask.paths), name="Ada")) == []
    assert mask_paths(mask, descriptor) == {"name", "config.memory.top_k"}
