"""Whatever belongs to someone else, or to one's own other project, is answered exactly like what does not exist.

Every route is taken from the suite's own OpenAPI description, so a new one is tested on the day it appears.
"""

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.client import AGENT, Api, Chat, answer
from tests.e2e.polling import eventually

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
SENDING = {"content": "Let me in.", "target_agent": AGENT}
# A good body for every route that takes one, so that nothing but the path can be what is wrong with the request.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/my/projects"): {"name": "Mine"},
    ("PATCH", "/my/projects/{project_id}"): {"name": "Taken"},
    ("PUT", "/my/projects/{project_id}"): {"name": "Taken"},
    ("POST", "/my/projects/{project_id}/agents"): {"name": "Spy"},
    ("PATCH", "/my/projects/{project_id}/agents/{agent_id}"): {"name": "Taken"},
    ("PUT", "/my/projects/{project_id}/agents/{agent_id}"): {"name": "Taken"},
    ("POST", "/my/projects/{project_id}/chat/sessions"): {"title": "Mine"},
    ("PATCH", "/my/projects/{project_id}/chat/sessions/{session_id}"): {"title": "Taken"},
    ("POST", "/my/projects/{project_id}/chat/{session_id}/message"): SENDING,
    ("POST", "/my/projects/{project_id}/chat/{session_id}/message:stream"): SENDING,
    ("POST", "/my/projects/{project_id}/runs"): {**SENDING, "session_id": "{session_id}"},
    ("POST", "/my/projects/{project_id}/runs/{run_id}:cancel"): {},
}


@dataclass(frozen=True)
class Route:
    method: str
    template: str

    @property
    def names(self) -> set[str]:
        """The ids that a request to it names, in its path or its body."""
        body = json.dumps(BODIES.get((self.method, self.template), {}))
        return set(re.findall(r"\{(\w+)\}", self.template + body))

    async def ask(self, api: Api, ids: Mapping[str, str]) -> tuple[int, str]:
        """Status and body, without what differs between any two requests: ids and the trace id."""
        body = BODIES.get((self.method, self.template))
        path = self.template.format_map(ids)
        filled = None if body is None else {key: str(value).format_map(ids) for key, value in body.items()}
        response = await api.http.request(self.method, path, json=filled)
        text = response.text
        for value in ids.values():
            text = text.replace(value, "<id>")
        if response.headers.get("content-type", "").startswith("application/problem+json"):
            text = json.dumps({**json.loads(text), "trace_id": "<trace>"}, sort_keys=True)
        return response.status_code, UUID.sub("<id>", text)


@dataclass(frozen=True)
class Estate:
    """Everything that one project can hold."""

    chat: Chat
    ids: dict[str, str]


async def estate(api: Api) -> Estate:
    chat = await api.new_chat()
    reply = await answer(chat.send("Hello."))

    async def recorded() -> bool:
        return all(event["id"] for event in await chat.timeline(reply["run_id"]))

    # Until its events are recorded as published, a session's last_event_id moves.
    await eventually(recorded)
    ids = {
        "project_id": chat.project_id,
        "session_id": chat.session_id,
        "run_id": reply["run_id"],
        "agent_id": reply["agent_id"],
    }
    return Estate(chat, ids)


def missing() -> dict[str, str]:
    return {name: str(uuid.uuid4()) for name in ("project_id", "session_id", "run_id", "agent_id")}


async def snapshot(api: Api, estate: Estate) -> list[Any]:
    """All that another could have changed."""
    paths = ["", "/agents", f"/agents/{estate.ids['agent_id']}", "/chat/sessions", "/runs"]
    return [
        await estate.chat.messages(),
        *[await answer(api.http.get(estate.chat.project_path + path)) for path in paths],
    ]


@pytest_asyncio.fixture
async def routes(ann: Api) -> list[Route]:
    """Every route below a project."""
    described = await answer(ann.http.get("/openapi.json"))
    found = [Route(*each) for each in _operations(described)]
    assert len(found) >= 20
    without_body = {(route.method, route.template) for route in found if route.method in ("POST", "PUT", "PATCH")}
    assert without_body <= set(BODIES), f"say a good body for {without_body - set(BODIES)}"
    return [route for route in found if "project_id" in route.names]


def _operations(described: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for template, item in described["paths"].items():
        for method in item:
            if template.startswith("/my") and method in ("get", "post", "put", "patch", "delete"):
                yield method.upper(), template.rstrip("/")


async def differences(
    api: Api, routes: list[Route], foreign: Mapping[str, str], own: Mapping[str, str] | None = None
) -> list[str]:
    """Where the answer to foreign ids is not the 404 that ids of nothing get; `own` ones are good ids in both."""
    own = own or {}
    found = []
    for route in routes:
        expected = await route.ask(api, {**missing(), **own})
        got = await route.ask(api, {**foreign, **own})
        if expected[0] != 404 or got != expected:
            found.append(f"{route.method} {route.template}: {got}, of what is missing: {expected}")
    return found


async def test_everything_of_another_user_is_answered_like_what_is_missing(
    ann: Api, bob: Api, routes: list[Route]
) -> None:
    hers, his = await estate(ann), await estate(bob)
    before = await snapshot(ann, hers)
    assert await differences(bob, routes, hers.ids) == []
    inside = {"project_id": his.chat.project_id}
    assert await differences(bob, deeper(routes), hers.ids, inside) == []
    assert await snapshot(ann, hers) == before


async def test_ones_own_session_run_and_agent_under_ones_own_other_project_are_missing(
    ann: Api, routes: list[Route]
) -> None:
    here, there = await estate(ann), await estate(ann)
    before = await snapshot(ann, here)
    tried = deeper(routes)
    assert {"session_id", "run_id", "agent_id"} <= set().union(*(route.names for route in tried))
    assert await differences(ann, tried, here.ids, {"project_id": there.chat.project_id}) == []
    assert await snapshot(ann, here) == before


def deeper(routes: list[Route]) -> list[Route]:
    """The routes that name something within a project."""
    return [route for route in routes if len(route.names) > 1]


@pytest.mark.parametrize("malformed", ["1", "not-a-uuid", "%27%20OR%201=1", "a" * 300])
async def test_id_that_is_no_uuid_is_missing_too(ann: Api, routes: list[Route], malformed: str) -> None:
    ids = dict.fromkeys(missing(), malformed)
    assert [str(route) for route in routes if (await route.ask(ann, ids))[0] != 404] == []


async def test_filter_by_a_foreign_session_finds_no_runs(ann: Api, bob: Api) -> None:
    hers, his = await estate(ann), await estate(bob)
    listed = await answer(bob.http.get(f"{his.chat.project_path}/runs?session_id={hers.ids['session_id']}"))
    assert (listed["runs"], listed["total"]) == ([], 0)
