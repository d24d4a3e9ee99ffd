"""Bad inputs over gRPC: what is sent to which method, and the exact code, reason and fields of the answer."""

from dataclasses import dataclass
from typing import Any

from codelab.agents.v1 import agent_pb2, agent_service_pb2
from codelab.orchestrator.v1 import approval_service_pb2, run_service_pb2, session_pb2, session_service_pb2
from codelab.projects.v1 import project_pb2, project_service_pb2
from codelab.streams.v1 import event_service_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from tests.e2e.bad_inputs import NOWHERE

ANY_ID = NOWHERE
PROJECT_SERVICE = "projects:codelab.projects.v1.ProjectService"
AGENT_SERVICE = "agents:codelab.agents.v1.AgentService"
SESSION_SERVICE = "orchestrator:codelab.orchestrator.v1.SessionService"
APPROVAL_SERVICE = "orchestrator:codelab.orchestrator.v1.ApprovalService"
RUN_SERVICE = "orchestrator:codelab.orchestrator.v1.RunService"
EVENT_SERVICE = "streams:codelab.streams.v1.EventService"


@dataclass(frozen=True)
class Call:
    """One bad call: `service` is `process:package.Service`."""

    service: str
    method: str
    sent: bytes
    code: str
    reason: str | None
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.method} {self.sent[:80]!r}"


def invalid(service: str, method: str, message: Message, *fields: str) -> Call:
    sent = message.SerializeToString()
    return Call(service, method, sent, "INVALID_ARGUMENT", "INVALID_ARGUMENT", fields)


def malformed(service: str, method: str, sent: bytes) -> Call:
    return Call(service, method, sent, "INVALID_ARGUMENT", "MALFORMED_MESSAGE")


def agent(*fields: str, name: str = "Eve", **config: Any) -> Call:
    made = agent_pb2.Agent(name=name, config=agent_pb2.AgentConfig(**config))
    request = agent_service_pb2.CreateAgentRequest(project_id=ANY_ID, agent=made)
    return invalid(AGENT_SERVICE, "CreateAgent", request, *fields)


def metadata(*fields: str, **values: Value) -> Call:
    return agent(*fields, metadata=Struct(fields=values))


def masked(paths: list[str], *fields: str, **values: Any) -> Call:
    request = agent_service_pb2.UpdateAgentRequest(
        project_id=ANY_ID, agent_id=ANY_ID, agent=agent_pb2.Agent(**values), update_mask=FieldMask(paths=paths)
    )
    return invalid(AGENT_SERVICE, "UpdateAgent", request, *fields)


def structs(levels: int) -> Value:
    value = Value(number_value=1)
    for _ in range(levels):
        value = Value(struct_value=Struct(fields={"a": value}))
    return value


def lists(levels: int) -> Value:
    value = Value(number_value=1)
    for _ in range(levels):
        value = Value(list_value=ListValue(values=[value]))
    return value


def delimited(number: int, data: bytes) -> bytes:
    """A length-delimited field of the wire format."""
    length = b""
    left = len(data)
    while left > 127:
        length += bytes([left & 127 | 128])
        left >>= 7
    return bytes([number << 3 | 2]) + length + bytes([left]) + data


def deep_metadata(levels: int) -> bytes:
    """An agent whose metadata is nested deeper than the library would write."""
    value = b""
    for _ in range(levels):
        # Value.struct_value { fields { key: "", value: … } }
        value = delimited(5, delimited(1, delimited(2, value)))
    struct = delimited(1, delimited(2, value))
    config = delimited(9, struct)
    return delimited(1, ANY_ID.encode()) + delimited(2, delimited(3, b"Eve") + delimited(5, config))


NAN, INFINITY = float("nan"), float("inf")
MISSING = [
    invalid(PROJECT_SERVICE, "CreateProject", project_service_pb2.CreateProjectRequest(), "project"),
    invalid(
        PROJECT_SERVICE,
        "CreateProject",
        project_service_pb2.CreateProjectRequest(project=project_pb2.Project()),
        "project.name",
    ),
    invalid(PROJECT_SERVICE, "GetProject", project_service_pb2.GetProjectRequest(), "project_id"),
    invalid(PROJECT_SERVICE, "DeleteProject", project_service_pb2.DeleteProjectRequest(), "project_id"),
    invalid(AGENT_SERVICE, "CreateAgent", agent_service_pb2.CreateAgentRequest(), "project_id", "agent"),
    invalid(AGENT_SERVICE, "DeleteAgent", agent_service_pb2.DeleteAgentRequest(project_id=ANY_ID), "agent_id"),
    invalid(SESSION_SERVICE, "GetSession", session_service_pb2.GetSessionRequest(), "project_id", "session_id"),
    invalid(
        RUN_SERVICE,
        "SendMessage",
        run_service_pb2.SendMessageRequest(project_id=ANY_ID),
        "session_id",
        "content",
    ),
    invalid(
        RUN_SERVICE, "StreamMessage", run_service_pb2.StreamMessageRequest(), "project_id", "session_id", "content"
    ),
    invalid(EVENT_SERVICE, "Subscribe", event_service_pb2.SubscribeRequest(), "project_id", "session_id"),
]
VALUES = [
    *(agent("agent.config.temperature", temperature=value) for value in (NAN, INFINITY, -INFINITY, -0.1, 2.1)),
    agent("agent.config.memory.min_score", memory=agent_pb2.MemoryConfig(min_score=NAN)),
    agent("agent.config.concurrency_limit", concurrency_limit=0),
    agent("agent.config.system_prompt", system_prompt="a\0"),
    agent("agent.config.tools[1]", tools=["a", "\0"]),
    agent("agent.name", name="a\x1bb"),
    agent("agent.name", name=" Eve"),
    agent("agent.name", name="🦉" * 101),
    agent("agent.name", name=NOWHERE),
    metadata("agent.config.metadata.n", n=Value(number_value=NAN)),
    metadata("agent.config.metadata.n", n=Value(number_value=-INFINITY)),
    metadata(
        "agent.config.metadata.l[1]", l=Value(list_value=ListValue(values=[Value(), Value(number_value=INFINITY)]))
    ),
    metadata("agent.config.metadata.s", s=Value(string_value="a\0")),
    metadata("agent.config.metadata", **{"\0": Value()}),
    metadata(
        "agent.config.metadata.o", o=Value(struct_value=Struct(fields={"\0": Value(), "x": Value(number_value=1)}))
    ),
    metadata("agent.config.metadata" + ".a" * 25, a=structs(25)),
    metadata("agent.config.metadata.a" + "[0]" * 24, a=lists(25)),
    metadata("agent.config.metadata", a=Value(string_value="x" * 16384)),
    metadata("agent.config.metadata", a=Value(string_value="x" * 1_000_000 + "\0")),
    invalid(
        PROJECT_SERVICE,
        "CreateProject",
        project_service_pb2.CreateProjectRequest(project=project_pb2.Project(name="\0" * 201), request_id="\0"),
        "project.name",
        "request_id",
    ),
    *(
        invalid(
            SESSION_SERVICE,
            "CreateSession",
            session_service_pb2.CreateSessionRequest(project_id=ANY_ID, request_id=request_id),
            "request_id",
        )
        for request_id in ("", "k" * 129, "\0")
    ),
    invalid(
        SESSION_SERVICE,
        "CreateSession",
        session_service_pb2.CreateSessionRequest(project_id=ANY_ID, session=session_pb2.Session(title="\n")),
        "session.title",
    ),
    *(
        invalid(
            RUN_SERVICE,
            "SendMessage",
            run_service_pb2.SendMessageRequest(
                project_id=ANY_ID,
                session_id=ANY_ID,
                content="Hi",
                on_busy=number,  # type: ignore[arg-type]
            ),
            "on_busy",
        )
        for number in (0, 4, -1, 2**31 - 1)
    ),
    invalid(
        RUN_SERVICE,
        "ListRuns",
        run_service_pb2.ListRunsRequest(project_id=ANY_ID, state=[3, 0, 99]),  # type: ignore[list-item]
        "state[1]",
        "state[2]",
    ),
    invalid(RUN_SERVICE, "ListRuns", run_service_pb2.ListRunsRequest(project_id=ANY_ID, state=[3] * 21), "state"),
    invalid(PROJECT_SERVICE, "ListProjects", project_service_pb2.ListProjectsRequest(page_size=-1), "page_size"),
    invalid(
        EVENT_SERVICE,
        "Subscribe",
        event_service_pb2.SubscribeRequest(
            project_id=ANY_ID, session_id=ANY_ID, after="1" * 201, run_id="\0", type=["", "a\0"]
        ),
        *("after", "run_id", "type[0]", "type[1]"),
    ),
    invalid(
        EVENT_SERVICE,
        "Subscribe",
        event_service_pb2.SubscribeRequest(project_id=ANY_ID, session_id=ANY_ID, type=["run_failed", "nonsense"]),
        "type[1]",
    ),
    *(
        Call(service, method, sent.SerializeToString(), "OUT_OF_RANGE", "INVALID_PAGE_TOKEN", ("page_token",))
        for service, method, sent in (
            (PROJECT_SERVICE, "ListProjects", project_service_pb2.ListProjectsRequest(page_token="x")),
            (PROJECT_SERVICE, "ListProjects", project_service_pb2.ListProjectsRequest(page_token="W\0")),
            (AGENT_SERVICE, "ListAgents", agent_service_pb2.ListAgentsRequest(project_id=ANY_ID, page_token="é")),
            (RUN_SERVICE, "ListRuns", run_service_pb2.ListRunsRequest(project_id=ANY_ID, page_token="x" * 100_000)),
        )
    ),
]
MASKS = [
    *(
        masked([path], "update_mask")
        for path in ("", "owner", "Name", "config.owner", "config.tools[0]", "config.metadata.a", "config.")
    ),
    masked(["*", "name"], "update_mask", "agent.name", name=""),
    masked(["agent.name"], "update_mask"),
    masked(["name"], "agent.name"),
    masked(["*"], "agent.name", config=agent_pb2.AgentConfig()),
    masked(["config.temperature"], "agent.config.temperature", config=agent_pb2.AgentConfig(temperature=NAN)),
    masked(["config"], "agent.config.max_tokens", config=agent_pb2.AgentConfig(max_tokens=0)),
]
DECISIONS = [
    invalid(
        APPROVAL_SERVICE,
        "Approve",
        approval_service_pb2.ApproveRequest(
            project_id=ANY_ID,
            approval_id=ANY_ID,
            arguments=Struct(fields={"a": Value(number_value=NAN), "b": structs(25)}),
            scope=number,  # type: ignore[arg-type]
        ),
        "arguments.a",
        "arguments.b" + ".a" * 24,
        "scope",
    )
    for number in (0, 99)
]
BYTES = [
    *(malformed(PROJECT_SERVICE, "GetProject", delimited(1, data)) for data in (b"\xff", b"\xed\xa0\x80", b"\xc0\x80")),
    malformed(PROJECT_SERVICE, "ListProjects", b"\xff"),
    malformed(PROJECT_SERVICE, "CreateProject", b"\x0a\xff\xff\xff\xff\x0f"),
    malformed(AGENT_SERVICE, "CreateAgent", deep_metadata(100)),
    malformed(AGENT_SERVICE, "CreateAgent", deep_metadata(10_000)),
    malformed(SESSION_SERVICE, "CreateSession", delimited(2, delimited(3, b"caf\xe9"))),
    malformed(RUN_SERVICE, "SendMessage", delimited(3, b"\xf4\x90\x80\x80")),
    malformed(RUN_SERVICE, "StreamMessage", b"\x0f"),
    malformed(EVENT_SERVICE, "Subscribe", delimited(5, b"\x80")),
    # gRPC itself refuses these before any code of ours: they have no reason.
    Call(PROJECT_SERVICE, "GetProject", delimited(1, b"x" * (17 * 1024 * 1024)), "RESOURCE_EXHAUSTED", None),
    Call(PROJECT_SERVICE, "getProject", b"", "UNIMPLEMENTED", None),
]

BAD_MESSAGES = {"missing": MISSING, "values": VALUES, "masks": MASKS, "decisions": DECISIONS, "bytes": BYTES}
