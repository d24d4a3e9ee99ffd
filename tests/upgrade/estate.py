"""What two users own when their data is captured, and everything that can be read of it.

It is made over HTTP alone, so that any version of CodeLab can make it.
"""

from typing import Any

import httpx

from tests.e2e.client import Api, answer
from tests.fakes.openai_server import Script

ANN, BOB = "a1111111-1111-4111-8111-111111111111", "b2222222-2222-4222-8222-222222222222"
SECRETS = {"JWT_SECRET_KEY": "user-" * 10, "SERVICE_TOKEN_KEY": "service-" * 10}
# Asked again with the same key and content, this must lead to the first one's project.
KEPT_REQUEST = {"headers": {"Idempotency-Key": "kept-over-the-upgrade"}, "json": {"name": "Lab"}}
GATE = "after the upgrade"
BROKEN = f"Fail. {Script(status=400).directive()}"


async def make(api: Api) -> None:
    """Everything that leaves rows: a project of each state, agents, sessions, and runs in each state."""
    lab = await answer(api.http.post("/my/projects", **KEPT_REQUEST), 201)
    doomed = await api.new_project("Deleted")
    assert (await api.http.delete(f"/my/projects/{doomed['id']}")).status_code == 204
    config = {
        "system_prompt": "Bréf. 𝄞",
        "tools": ["search_memory"],
        "temperature": 0.25,
        "metadata": {"team": ["a", None, 1.5]},
    }
    agent = {"name": "Helper", "config": config}
    await answer(api.http.post(f"/my/projects/{lab['id']}/agents", json=agent), 201)
    chat = await api.new_chat(lab["id"])
    await answer(chat.send("Who are you? 𝄞", target_agent="Helper"))
    await chat.send(BROKEN)
    # Nobody opens the gate: the capture catches the run at work.
    at_work = await chat.start(f"Take your time. {Script(gate=GATE).directive()}")
    await chat.run_after(at_work["id"], "running")
    await chat.start("Afterwards.")
    cancelled = await chat.start("Never mind.")
    await answer(chat.cancel(cancelled["id"]))
    await api.new_chat(lab["id"])


async def read(http: httpx.AsyncClient) -> dict[str, Any]:
    """The answer to every GET that leads to the user's own, by its path."""
    found: dict[str, Any] = {}

    async def get(path: str, items: str = "") -> list[dict[str, Any]]:
        found[path] = await answer(http.get(path))
        return found[path].get(items, [])

    for project in await get("/my/projects", "projects"):
        path = f"/my/projects/{project['id']}"
        await get(path)
        for agent in await get(f"{path}/agents", "agents"):
            await get(f"{path}/agents/{agent['id']}")
        for session in await get(f"{path}/chat/sessions", "sessions"):
            await get(f"{path}/chat/sessions/{session['id']}")
            await get(f"{path}/chat/sessions/{session['id']}/messages")
        for run in await get(f"{path}/runs", "runs"):
            await get(f"{path}/runs/{run['id']}")
            await get(f"{path}/runs/{run['id']}:events")
    return found
