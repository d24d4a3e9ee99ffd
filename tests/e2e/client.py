"""One user at the suite's HTTP door."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx

from tests.e2e.events import Event, Format, Stream, Watch, open_stream
from tests.e2e.polling import eventually

AGENT = "CodeAssistant"
FINAL_STATES = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Chat:
    """A session, and what its user does in it."""

    http: httpx.AsyncClient
    project_id: str
    session_id: str

    @property
    def project_path(self) -> str:
        return f"/my/projects/{self.project_id}"

    @property
    def path(self) -> str:
        return f"{self.project_path}/chat/{self.session_id}"

    @property
    def session_path(self) -> str:
        return f"{self.project_path}/chat/sessions/{self.session_id}"

    async def send(self, content: str, **fields: Any) -> httpx.Response:
        """Send and wait for the answer."""
        return await self.http.post(f"{self.path}/message", json=_sending(content, fields), timeout=30)

    async def start(self, content: str, **fields: Any) -> Event:
        """Send without waiting; returns the run."""
        body = {"session_id": self.session_id, **_sending(content, fields)}
        return await answer(self.http.post(f"{self.project_path}/runs", json=body), 201)

    def stream(
        self, content: str, *, accept: Format = Format.SSE, watch: Watch | None = None, **fields: Any
    ) -> contextlib.AbstractAsyncContextManager[Stream]:
        """Send and watch the run."""
        path, body = f"{self.path}/message:stream", _sending(content, fields)
        return open_stream(self.http, "POST", path, accept=accept, watch=watch, json=body)

    def watch(
        self, *, accept: Format = Format.SSE, watch: Watch | None = None, **query: Any
    ) -> contextlib.AbstractAsyncContextManager[Stream]:
        """Watch the session."""
        return open_stream(self.http, "GET", f"{self.path}/events", accept=accept, watch=watch, params=query)

    async def messages(self) -> list[Event]:
        page = await answer(self.http.get(f"{self.session_path}/messages"))
        listed: list[Event] = page["messages"]
        return listed

    async def run(self, run_id: str) -> Event:
        return await answer(self.http.get(f"{self.project_path}/runs/{run_id}"))

    async def run_after(self, run_id: str, *states: str, within: float = 30) -> Event:
        """The run once it is in one of these states (unset: once it is over)."""
        wanted = states or FINAL_STATES

        async def there() -> Event | None:
            run = await self.run(run_id)
            return run if run["state"] in wanted else None

        run: Event = await eventually(there, within, f"run {run_id} in {wanted}")
        return run

    async def cancel(self, run_id: str) -> httpx.Response:
        return await self.http.post(f"{self.project_path}/runs/{run_id}:cancel", json={})

    async def retry(self, run_id: str, **fields: Any) -> httpx.Response:
        return await self.http.post(f"{self.project_path}/runs/{run_id}:retry", json=fields)

    async def timeline(self, run_id: str) -> list[Event]:
        page = await answer(self.http.get(f"{self.project_path}/runs/{run_id}:events"))
        events: list[Event] = page["events"]
        return events

    async def recorded(self, run_id: str) -> None:
        """Return once all events of a run that is over are recorded as published: the session stands still."""

        async def there() -> bool:
            return all(event["id"] for event in await self.timeline(run_id))

        await eventually(there, what=f"the record of run {run_id}")


@dataclass(frozen=True)
class Api:
    """Everything one user may ask."""

    http: httpx.AsyncClient

    async def new_project(self, name: str = "Lab") -> Event:
        return await answer(self.http.post("/my/projects", json={"name": name}), 201)

    async def new_chat(self, project_id: str | None = None) -> Chat:
        """A fresh session, in a fresh project unless one is given."""
        if project_id is None:
            project_id = (await self.new_project())["id"]
        session = await answer(self.http.post(f"/my/projects/{project_id}/chat/sessions", json={}), 201)
        return Chat(self.http, project_id, session["id"])


async def answer(request: Any, status: int = 200) -> Event:
    """The JSON of a response that must have this status."""
    response: httpx.Response = await request
    assert response.status_code == status, f"{response.request.url} answered {response.status_code} {response.text}"
    body: Event = response.json()
    return body


def problem(response: httpx.Response, status: int, reason: str) -> Event:
    """The body of an RFC 9457 answer that must have this status and reason."""
    assert response.status_code == status, f"{response.request.url} answered {response.status_code} {response.text}"
    assert response.headers["content-type"].partition(";")[0] == "application/problem+json"
    body: Event = response.json()
    assert body["status"] == status
    assert body["reason"] == reason, body
    return body


@contextlib.asynccontextmanager
async def signed_in(base_url: str, token: str) -> AsyncIterator[Api]:
    limits = httpx.Limits(max_connections=None)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=30, limits=limits) as http:
        yield Api(http)


def _sending(content: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"content": content, "target_agent": AGENT, **fields}
