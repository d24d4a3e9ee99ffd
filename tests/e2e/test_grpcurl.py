"""The suite through the eyes of an operator with grpcurl, a real one."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.client import AGENT
from tests.e2e.suite import SERVICES, Suite
from tests.fakes.openai_script import DEFAULT_ANSWER

pytestmark = pytest.mark.e2e_external

# One user for all of these tests: a token costs a process.
USER = str(uuid.uuid4())
SERVED = {
    "projects": {"codelab.projects.v1.ProjectService"},
    "agents": {
        "codelab.agents.v1.AgentService",
        "codelab.agents.v1.ExecutionService",
        "codelab.agents.v1.MemoryService",
        "codelab.agents.v1.PlanningService",
        "codelab.agents.v1.ToolService",
        "codelab.agents.v1.WorkerSpaceService",
    },
    "orchestrator": {
        "codelab.orchestrator.v1.ApprovalService",
        "codelab.orchestrator.v1.LifecycleService",
        "codelab.orchestrator.v1.RunService",
        "codelab.orchestrator.v1.SessionService",
    },
    "streams": {"codelab.streams.v1.EventService", "codelab.streams.v1.PublishService"},
}

TUNNEL = "codelab.tunnel.v1.TunnelService"
"""Every service has it."""


def find_grpcurl() -> str | None:
    """On PATH, or where `.ci/run` builds it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "codelab"
    built = sorted(str(path) for path in cache.glob("*/grpcurl"))
    return shutil.which("grpcurl") or (built[-1] if built else None)


@dataclass(frozen=True)
class Grpcurl:
    """One user's grpcurl against one suite."""

    program: str
    suite: Suite
    token: str | None

    async def raw(self, service: str, *arguments: str) -> tuple[int, str]:
        """Exit code and output of `grpcurl … address-of-service arguments`; the last ones name what is called."""
        *options, target = arguments
        bearer = [] if self.token is None else ["-H", f"authorization: Bearer {self.token}"]
        process = await asyncio.create_subprocess_exec(
            *(self.program, "-plaintext", "-max-time", "20", *bearer, *options),
            *(self.suite.grpc_address(service), *target.split()),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        stdout, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, stdout.decode()

    async def call(self, service: str, method: str, /, **request: Any) -> list[dict[str, Any]]:
        """The messages that a method answers."""
        code, output = await self.raw(service, "-d", json.dumps(request), method)
        assert code == 0, output
        return json_values(output)


def json_values(text: str) -> list[dict[str, Any]]:
    """The messages that grpcurl printed one after another. Its versions write keys in camelCase or as the contract."""
    values, text = [], text.strip()
    decoder = json.JSONDecoder(object_hook=lambda read: {snake_case(key): value for key, value in read.items()})
    while text:
        value, end = decoder.raw_decode(text)
        values.append(value)
        text = text[end:].lstrip()
    return values


def snake_case(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


@pytest_asyncio.fixture
async def grpcurl(suite: Suite) -> Grpcurl:
    program = find_grpcurl()
    if program is None:
        pytest.skip("grpcurl is not installed")
    return Grpcurl(program, suite, await suite.token(USER))


@pytest.mark.parametrize("service", SERVICES)
async def test_services_are_listed_and_healthy(grpcurl: Grpcurl, service: str) -> None:
    code, output = await grpcurl.raw(service, "list")
    assert code == 0, output
    assert {line for line in output.split() if line.startswith("codelab.")} == SERVED[service] | {TUNNEL}
    for name in ("", *SERVED[service]):
        assert await grpcurl.call(service, "grpc.health.v1.Health/Check", service=name) == [{"status": "SERVING"}]


async def test_contract_is_described(grpcurl: Grpcurl) -> None:
    code, output = await grpcurl.raw("projects", "describe codelab.projects.v1.ProjectService.CreateProject")
    assert code == 0, output
    assert "rpc CreateProject" in output
    assert '"/my/projects"' in output


async def test_project_is_created_and_a_message_sent_and_its_events_watched(grpcurl: Grpcurl) -> None:
    [created] = await grpcurl.call(
        "projects", "codelab.projects.v1.ProjectService/CreateProject", project={"name": "CLI"}
    )
    project_id = created["project"]["id"]
    service = "codelab.orchestrator.v1.SessionService/CreateSession"
    [opened] = await grpcurl.call("orchestrator", service, project_id=project_id)
    chat = {"project_id": project_id, "session_id": opened["session"]["id"]}
    service = "codelab.orchestrator.v1.RunService/SendMessage"
    [sent] = await grpcurl.call("orchestrator", service, **chat, content="Hello.", target_agent=AGENT)
    message = sent["message"]
    assert message["content"] == DEFAULT_ANSWER

    service = "codelab.streams.v1.EventService/Subscribe"
    frames = await grpcurl.call("streams", service, **chat, after="start", run_id=message["run_id"])
    events = [frame["event"] for frame in frames]
    assert "heartbeat" in events[0]
    assert events[0]["id"]
    for kind in ("message_received", "agent_started", "agent_completed"):
        assert len([event for event in events if kind in event]) == 1
    [final] = [event for event in events if event.get("final")]
    assert final["agent_completed"]["message"] == message
    assert events[-1]["stream_ended"]["reason"] == "run_finished"


async def test_call_without_a_token_is_unauthenticated(grpcurl: Grpcurl) -> None:
    stranger = Grpcurl(grpcurl.program, grpcurl.suite, None)
    for service, method in (
        ("projects", "codelab.projects.v1.ProjectService/ListProjects"),
        ("agents", "codelab.agents.v1.AgentService/ListAgents"),
        ("orchestrator", "codelab.orchestrator.v1.RunService/ListRuns"),
        ("streams", "codelab.streams.v1.EventService/Subscribe"),
        ("agents", "codelab.agents.v1.ExecutionService/Execute"),
    ):
        code, output = await stranger.raw(service, method)
        assert code != 0
        assert "Code: Unauthenticated" in output


async def test_internal_method_admits_services_and_no_user(grpcurl: Grpcurl) -> None:
    token = await grpcurl.suite.service_token("orchestrator", USER)
    internal = Grpcurl(grpcurl.program, grpcurl.suite, token)
    request = json.dumps({"project_id": str(uuid.uuid4()), "target": AGENT})
    method = "codelab.agents.v1.ExecutionService/ResolveAgent"
    code, output = await grpcurl.raw("agents", "-d", request, method)
    assert code != 0
    assert "Code: PermissionDenied" in output or "Code: Unauthenticated" in output
    code, output = await internal.raw("agents", "-d", request, method)
    assert code != 0
    assert "AGENT_NOT_FOUND" in output
    # Public methods know it as that user.
    [whoami] = await internal.call("projects", "codelab.projects.v1.ProjectService/GetCurrentUser")
    assert whoami["user"]["id"] == USER
