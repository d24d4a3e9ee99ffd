"""Data that earlier versions wrote is read by this one, on both databases, and goes on from where it was."""

import asyncio
import json
import sqlite3
import subprocess
import uuid
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.runtime import migrations
from tests.e2e.client import Api, Chat, answer, signed_in
from tests.e2e.suite import Layout, Suite, clean_environment, run_codelab, running
from tests.fakes.openai_server import FakeModel
from tests.postgres import PostgresServer
from tests.upgrade import estate
from tests.upgrade.capture import DATA, STATEFUL

CAPTURES = sorted(path.name for path in DATA.iterdir())
# What goes on by itself after the start: runs that were at work or waiting are finished.
MOVING = {
    *("state", "status", "started_at", "finished_at", "updated_at", "last_event_id", "message_count", "total"),
    *("message_id", "attempt", "output", "usage", "error"),
}


@dataclass(frozen=True)
class Upgraded:
    """A suite of this version on data of an earlier one."""

    suite: Suite
    answers: dict[str, dict[str, Any]]
    """What every GET answered when the data was captured: by user, then by path."""


def marks(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.server_backed] if name.endswith("postgresql") else []


@pytest_asyncio.fixture(scope="module", params=[pytest.param(name, marks=marks(name)) for name in CAPTURES])
async def upgraded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Upgraded]:
    captured, folder = DATA / request.param, tmp_path_factory.mktemp("upgrade")
    settings = {"CODELAB_LEASE_SECONDS": "1", **estate.SECRETS}
    if request.param.endswith("postgresql"):
        settings["DATABASE_URL"] = await restore(request.getfixturevalue("postgres_server"), captured)
        migrated = await run_codelab("migrate", environment=clean_environment(**settings), folder=folder)
        assert migrated.code == 0, migrated.output
    else:
        (folder / "data").mkdir()
        for service in STATEFUL:
            with closing(sqlite3.connect(folder / "data" / f"{service}.db")) as connection:
                connection.executescript((captured / f"{service}.sql").read_text(encoding="utf-8"))
    with FakeModel() as model:
        model.open_gate(estate.GATE)
        settings |= {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "sk-test", "OPENAI_MODEL": "fake-model"}
        async with running(Layout.ONE, folder, **settings) as suite:
            yield Upgraded(suite, json.loads((captured / "answers.json").read_text(encoding="utf-8")))


async def restore(server: PostgresServer, captured: Path) -> str:
    """Fill a new database with what was dumped; return its URL."""
    url = await server.create_database(f"restored {uuid.uuid4()}")
    command = [server.programs / "psql", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-", url]
    dump = (captured / "database.sql").read_bytes()
    restored = await asyncio.to_thread(subprocess.run, command, input=dump, capture_output=True, check=False)
    assert restored.returncode == 0, restored.stderr.decode()
    return url


def differences(before: Any, now: Any, path: str = "") -> list[str]:
    """Where what was there is not there any more, or otherwise. What is new is no difference."""
    match before, now:
        case dict(), dict():
            kept = before.keys() - MOVING
            return [line for key in sorted(kept) for line in differences(before[key], now.get(key), f"{path}.{key}")]
        case list(), list():
            # In the same order, and between them perhaps what came since.
            kept_ids = [key_of(each) for each in before]
            still = [each for each in now if key_of(each) in kept_ids]
            if [key_of(each) for each in still] == kept_ids:
                return [
                    line
                    for i, (each, other) in enumerate(zip(before, still, strict=True))
                    for line in differences(each, other, f"{path}[{i}]")
                ]
    return [] if before == now else [f"{path}: {before!r} became {now!r}"]


def key_of(item: Any) -> Any:
    """What an item of a list is known by."""
    return item.get("id", item.get("n")) if isinstance(item, dict) else item


@pytest.mark.parametrize("user", [estate.ANN, estate.BOB])
async def test_everything_that_could_be_read_can_be_read(upgraded: Upgraded, user: str) -> None:
    before = upgraded.answers[user]
    assert len(before) > 20
    async with signed_in(upgraded.suite.url, await upgraded.suite.token(user)) as api:
        now = await estate.read(api.http)
    assert differences(before, now) == []


async def test_runs_that_were_at_work_are_finished(upgraded: Upgraded) -> None:
    before = upgraded.answers[estate.ANN]
    [listed] = [content for path, content in before.items() if path.endswith("/runs")]
    states = {run["id"]: run["state"] for run in listed["runs"]}
    assert sorted(states.values()) == ["cancelled", "failed", "queued", "running", "succeeded"]
    async with signed_in(upgraded.suite.url, await upgraded.suite.token(estate.ANN)) as api:
        chat = the_chat(api, before)
        for run_id, state in states.items():
            run = await chat.run_after(run_id)
            assert run["state"] == ("succeeded" if state in ("queued", "running") else state)
        answered = [message for message in await chat.messages() if message["role"] == "assistant"]
        assert len(answered) == 3
        await answer(chat.send("And now?"))


async def test_key_of_an_earlier_request_leads_to_what_it_made(upgraded: Upgraded) -> None:
    before = upgraded.answers[estate.ANN]
    [project] = before["/my/projects"]["projects"]
    async with signed_in(upgraded.suite.url, await upgraded.suite.token(estate.ANN)) as api:
        again = await answer(api.http.post("/my/projects", **estate.KEPT_REQUEST), 201)
    assert again["id"] == project["id"]


async def test_agent_that_lists_what_is_no_tool_any_more_can_be_changed(upgraded: Upgraded) -> None:
    before = upgraded.answers[estate.ANN]
    [path] = [path for path, content in before.items() if content.get("name") == "Helper"]
    config = before[path]["config"]
    assert config["tools"] == ["search"]
    async with signed_in(upgraded.suite.url, await upgraded.suite.token(estate.ANN)) as api:
        # To what it is, so that whatever else is read is read as it was.
        changed = await answer(api.http.patch(path, json={"config": {"temperature": config["temperature"]}}))
        replaced = await answer(api.http.put(path, json=before[path]))
    assert changed["config"] == replaced["config"] == config


def the_chat(api: Api, before: dict[str, Any]) -> Chat:
    """The session that has messages."""
    [path] = [path for path, content in before.items() if path.endswith("/messages") and content["messages"]]
    _, _, _, project_id, _, _, session_id, _ = path.split("/")
    return Chat(api.http, project_id, session_id)


@pytest.mark.parametrize("service", STATEFUL)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_every_revision_but_the_newest_has_its_data_captured(service: str, kind: str) -> None:
    captured = {
        json.loads((DATA / name / "revisions.json").read_text(encoding="utf-8"))[service]
        for name in CAPTURES
        if name.endswith(kind)
    }
    missing = set(migrations.revisions(service)[:-1]) - captured
    assert not missing, "capture the data of the version without the new migration: see tests/upgrade/capture.py"
