"""`codelab doctor` on real things: what works, what does not, and how to mend it."""

import json
import os
import socket
import sqlite3
import stat
import uuid
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from services.agents.agent import Agent, AgentConfig, Owner
from services.agents.memory.model import Embedding
from services.agents.memory.sql_registry import SqlMemoryRegistry
from services.agents.sql_store import SqlAgentStore
from services.doctor.finding import Finding
from services.doctor.workspaces import workspaces
from services.runtime.postgres import PostgresDatabase
from services.runtime.redis_client import redis_of
from services.runtime.settings import Settings
from tests.e2e.ports import free_ports
from tests.e2e.suite import SERVICES, Layout, Suite, run_codelab, running
from tests.fakes.openai_server import FakeModel
from tests.fakes.qdrant_description import Description
from tests.fakes.qdrant_server import Answer, FakeQdrant
from tests.postgres import PostgresServer
from tests.redis_server import RedisServer

SECRETS = {
    "OPENAI_API_KEY": "sk-doctor-secret",
    "JWT_SECRET_KEY": "jwt-secret-" * 4,
    "SERVICE_TOKEN_KEY": "svc-secret-" * 4,
}


@pytest_asyncio.fixture(scope="module")
async def offline(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Suite]:
    async with running(Layout.ONE, tmp_path_factory.mktemp("offline")) as suite:
        yield suite


def of(folder: Path, **settings: str) -> dict[str, str]:
    """The environment of a suite that is not running, on ports of its own."""
    return Suite(Layout.ONE, folder, settings).environment


async def examined(folder: Path, environment: dict[str, str]) -> tuple[int, dict[str, list[Finding]]]:
    """The exit code, and what was found by what was looked at."""
    result = await run_codelab("doctor", "--json", environment=environment, folder=folder, within=60)
    assert "Traceback" not in result.stderr, result.stderr
    assert "secret" not in result.output
    found: dict[str, list[Finding]] = {}
    for each in json.loads(result.stdout):
        found.setdefault(each["what"], []).append(Finding(**each))
    return result.code, found


async def problem(folder: Path, what: str, environment: dict[str, str]) -> Finding:
    """The one thing that does not work; everything else does."""
    code, found = await examined(folder, environment)
    failed = [each for findings in found.values() for each in findings if each.status == "fail"]
    assert (code, [each.what for each in failed]) == (1, [what]), failed
    assert failed[0].mend
    return failed[0]


async def warning(folder: Path, what: str, environment: dict[str, str]) -> Finding:
    code, found = await examined(folder, environment)
    doubted = [each for findings in found.values() for each in findings if each.status != "ok"]
    assert (code, [(each.what, each.status) for each in doubted]) == (0, [(what, "warn")]), doubted
    assert doubted[0].mend
    return doubted[0]


async def all_well(folder: Path, environment: dict[str, str]) -> dict[str, str]:
    """What is said of each thing, all of which work."""
    code, found = await examined(folder, environment)
    assert code == 0
    assert {each.status for findings in found.values() for each in findings} == {"ok"}, found
    return {what: findings[0].detail for what, findings in found.items()}


async def test_nothing_running_is_no_problem_and_nothing_is_made(folder: Path) -> None:
    said = await all_well(folder, of(folder))
    assert "none runs" in said["services"]
    assert "offline" in said["model"]
    assert "free" in said["ports"]
    assert not any(os.scandir(folder)), "who only looks leaves nothing behind"


async def test_words_are_in_one_order_and_have_colours_on_a_terminal_only(folder: Path) -> None:
    first, second = [await run_codelab("doctor", environment=of(folder), folder=folder) for _ in range(2)]
    lines = [line for line in first.stdout.splitlines() if line.startswith("ok")]
    assert [line.split()[1] for line in lines] == [
        *("settings", "python", "data", "disk", "keys", "database", "ports", "services", "gateway", "tokens"),
        *("model", "embeddings", "memory", "queues", "workspaces", "commands"),
    ]
    assert [line.split()[1] for line in second.stdout.splitlines() if line.startswith("ok")] == [
        line.split()[1] for line in lines
    ]
    assert "\x1b" not in first.stdout
    assert (first.code, first.stdout.splitlines()[-1], first.stderr) == (0, "All is well.", "")


async def test_suite_that_runs_is_well(offline: Suite) -> None:
    said = await all_well(offline.folder, offline.environment)
    assert "suite (process" in said["data folder"]
    assert str(offline.http_port) in said["ports"]
    assert "used by our suite" in said["ports"]
    assert said["services"] == "projects, agents, orchestrator, streams: all serve"
    assert "ready" in said["gateway"]
    assert "takes the tokens" in said["tokens"]


async def test_suite_of_another_folder_is_told_from_ours(offline: Suite, folder: Path) -> None:
    environment = {**offline.environment, "CODELAB_DATA_DIR": str(folder / "data")}
    code, found = await examined(folder, environment)
    assert code == 1
    assert {each.status for each in found["ports"]} == {"fail"}
    assert all("another data folder" in each.detail for each in found["ports"])
    assert len(found["ports"]) == 5


async def test_tokens_that_the_suite_refuses_are_noticed(offline: Suite, folder: Path) -> None:
    environment = {**offline.environment, "JWT_SECRET_KEY": "another-secret-" * 3}
    assert "refuses" in (await problem(folder, "tokens", environment)).detail


async def test_replica_that_is_gone_is_named_though_another_serves(offline: Suite, folder: Path) -> None:
    gone = f"127.0.0.1:{free_ports()}"
    addresses = {name: offline.grpc_address(name) for name in SERVICES}
    addresses["agents"] += f"+{gone}"
    environment = {**offline.environment, "CODELAB_BACKENDS": ",".join(addresses.values())}
    assert (await problem(folder, "services", environment)).detail == f"not reachable: agents ({gone})"


async def test_service_that_is_gone_is_named(folder: Path, model: FakeModel) -> None:
    async with running(Layout.FIVE, folder) as suite:
        streams = suite.processes.pop("streams")
        streams.kill()
        await streams.wait()
        code, found = await examined(folder, suite.environment)
        assert code == 1
        [away] = found["services"]
        assert f"streams ({suite.grpc_address('streams')})" in away.detail
        assert "projects" not in away.detail
        assert found["gateway"][0].status == "fail"
        assert suite.grpc_address("streams") in found["gateway"][0].detail


@pytest.mark.parametrize("variable", ["CODELAB_HTTP_PORT", "CODELAB_GRPC_PORT_BASE"])
async def test_port_that_another_program_has_is_a_problem_that_names_the_variable(folder: Path, variable: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_ports(4)))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, found = await examined(folder, of(folder) | {variable: port})
    assert code == 1
    [line] = found["ports"]
    assert port in line.detail
    assert variable in line.mend


async def test_wrong_value_is_all_there_is_to_say(folder: Path) -> None:
    (folder / ".env").write_text("CODELAB_LOG_LEVEL=secret\n")
    code, found = await examined(folder, of(folder))
    assert (code, list(found)) == (1, ["settings"])
    assert "CODELAB_LOG_LEVEL in .env" in found["settings"][0].detail


async def test_misspelt_names_are_a_warning(folder: Path) -> None:
    (folder / ".env").write_text("CODELAB_HTP_PORT=1\n")
    said = await warning(folder, "settings", of(folder) | {"CODELAB_MOOD": "secret"})
    assert "CODELAB_HTP_PORT in .env (did you mean CODELAB_HTTP_PORT?)" in said.detail
    assert "CODELAB_MOOD" in said.detail


async def test_data_folder_that_cannot_be_made_is_a_problem(folder: Path) -> None:
    (folder / "file").write_text("in the way")
    for place in (folder / "file", folder / "file" / "data"):
        environment = of(folder) | {"CODELAB_DATA_DIR": str(place)}
        said = await problem(folder, "data folder", environment)
        assert str(folder / "file") in said.detail
        assert "CODELAB_DATA_DIR" in said.mend


async def test_what_others_may_read_is_a_warning(folder: Path) -> None:
    environment = of(folder)
    assert (await run_codelab("token", environment=environment, folder=folder)).code == 0
    key = folder / "data" / "jwt.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    await all_well(folder, environment)
    key.chmod(0o644)
    assert (await warning(folder, "keys", environment)).mend == f"chmod 600 {key}"
    key.chmod(0o600)
    (folder / "data").chmod(0o755)
    assert (await warning(folder, "data folder", environment)).mend == f"chmod 700 {folder / 'data'}"


async def test_model_that_cannot_be_reached_is_a_problem(folder: Path) -> None:
    url = f"http://user:secret@127.0.0.1:{free_ports()}/secret/v1"
    said = await problem(folder, "model", of(folder, OPENAI_BASE_URL=url, **SECRETS))
    assert "not reachable" in said.detail
    assert "OPENAI_BASE_URL" in said.mend


async def test_key_that_the_model_refuses_is_a_problem(folder: Path) -> None:
    with FakeModel(key="sk-the-right-one") as model:
        asking = {"OPENAI_BASE_URL": model.url, "OPENAI_MODEL": "fake-model"}
        said = await problem(folder, "model", of(folder, **asking, **SECRETS))
        assert "refused the credentials (HTTP 401)" in said.detail
        assert "OPENAI_API_KEY" in said.mend
        assert (
            "fake-model" in (await all_well(folder, of(folder, **asking, OPENAI_API_KEY="sk-the-right-one")))["model"]
        )


async def test_model_that_the_endpoint_does_not_know_is_a_problem(folder: Path) -> None:
    with FakeModel(models=("llama3.2:latest", "qwen3")) as model:
        said = await problem(folder, "model", of(folder, OPENAI_BASE_URL=model.url, OPENAI_MODEL="gpt-9"))
        assert "gpt-9" in said.detail
        assert "qwen3" in said.mend
        known = of(folder, OPENAI_BASE_URL=model.url, OPENAI_MODEL="llama3.2")
        assert "llama3.2" in (await all_well(folder, known))["model"]
        assert model.exchanges() == [], "what is listed is not asked"


async def test_endpoint_that_lists_no_models_is_asked_for_a_word(folder: Path) -> None:
    with FakeModel(lists=False) as model:
        said = await all_well(folder, of(folder, OPENAI_BASE_URL=model.url, OPENAI_MODEL="any"))
        assert "any at 127.0.0.1" in said["model"]
        [asked] = model.exchanges()
        assert asked.body["max_tokens"] <= 16


async def test_endpoint_that_never_answers_is_a_problem_in_time(folder: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        said = await problem(folder, "model", of(folder, OPENAI_BASE_URL=url))
    assert "no answer in time" in said.detail


async def test_database_server_that_is_down_is_a_problem(folder: Path) -> None:
    url = f"postgresql://codelab:secret@127.0.0.1:{free_ports()}/codelab"
    said = await problem(folder, "database", of(folder, DATABASE_URL=url))
    assert "Connection refused" in said.detail
    assert "DATABASE_URL" in said.mend


async def test_pending_migrations_are_a_problem_on_a_server(folder: Path, postgres_server: PostgresServer) -> None:
    environment = of(folder, DATABASE_URL=await postgres_server.create_database(f"doctor {uuid.uuid4()}"))
    said = await problem(folder, "database", environment)
    assert "codelab migrate" in said.mend
    assert (await run_codelab("migrate", environment=environment, folder=folder)).code == 0
    assert "PostgreSQL" in (await all_well(folder, environment))["database"]


async def test_data_of_an_older_version_is_a_warning_and_of_a_newer_one_a_problem(folder: Path) -> None:
    environment = of(folder)
    assert (await run_codelab("migrate", environment=environment, folder=folder)).code == 0
    await all_well(folder, environment)
    for revision, look in (("0001", warning), ("9999", problem)):
        with sqlite3.connect(folder / "data" / "orchestrator.db") as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        said = await look(folder, "database", environment)
        assert "orchestrator" in said.detail
        assert "projects" not in said.detail


async def test_file_that_is_no_database_is_a_problem(folder: Path) -> None:
    (folder / "data").mkdir(mode=0o700)
    (folder / "data" / "projects.db").write_bytes(b"no database at all, and long enough to be looked at" * 100)
    assert "projects.db" in (await problem(folder, "database", of(folder))).detail


async def test_keys_that_nobody_publishes_are_a_problem(folder: Path) -> None:
    url = f"http://127.0.0.1:{free_ports()}/keys"
    said = await problem(folder, "tokens", of(folder, JWT_JWKS_URL=url))
    assert "JWT_JWKS_URL" in said.mend


# What the agents remember with


async def test_words_instead_of_meaning_are_a_warning(folder: Path) -> None:
    said = await warning(folder, "embeddings", of(folder, EMBEDDING_MODEL="hashing"))
    assert "not meaning" in said.detail
    assert "EMBEDDING_MODEL=minilm" in said.mend


async def test_endpoints_embedding_model_is_asked_for_one_vector(folder: Path) -> None:
    with FakeModel(dimension=96) as model:
        said = await all_well(folder, of(folder, **embedding_by(model)))
        assert said["embeddings"] == f"embed-test at {host(model)}, 96 dimensions"
        [asked] = model.embeddings()
    assert len(asked.body["input"]) == 1


async def test_embedding_model_that_the_endpoint_does_not_know_is_a_problem(folder: Path) -> None:
    with FakeModel(models=("fake-model",)) as model:
        said = await problem(folder, "embeddings", of(folder, **embedding_by(model)))
    assert "does not know embedding model embed-test (HTTP 404)" in said.detail
    assert "EMBEDDING_MODEL" in said.mend


async def test_embedding_model_without_an_endpoint_is_a_problem(folder: Path) -> None:
    said = await problem(folder, "embeddings", of(folder, EMBEDDING_MODEL="embed-test"))
    assert "OPENAI_BASE_URL" in said.mend
    assert "minilm" in said.mend


async def test_key_that_the_embedding_model_refuses_is_a_problem(folder: Path) -> None:
    with FakeModel(key="sk-the-right-one") as model:
        said = await failed_embeddings(folder, of(folder, **embedding_by(model), **SECRETS))
        assert "refused the credentials (HTTP 401)" in said.detail
        assert "OPENAI_API_KEY" in said.mend


async def test_embedding_model_that_cannot_be_reached_is_a_problem(folder: Path) -> None:
    url = f"http://user:secret@127.0.0.1:{free_ports()}/secret/v1"
    environment = of(folder, EMBEDDING_MODEL="embed-test", OPENAI_BASE_URL=url, **SECRETS)
    said = await failed_embeddings(folder, environment)
    assert "cannot be reached" in said.detail
    assert "OPENAI_BASE_URL" in said.mend


async def test_embedding_model_that_never_answers_is_a_problem_in_time(folder: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        said = await failed_embeddings(folder, of(folder, EMBEDDING_MODEL="embed-test", OPENAI_BASE_URL=url))
    assert "said nothing" in said.detail


async def test_memories_in_the_data_folder_have_a_size(folder: Path) -> None:
    assert (await all_well(folder, of(folder)))["memory"] == "in the data folder"
    collection = folder / "data" / "memory" / "an-agent_context"
    collection.mkdir(mode=0o700, parents=True)
    (folder / "data").chmod(0o700)
    (collection / "vectors").write_bytes(os.urandom(3 * 1024**2))
    # Longer than what is written in it, as the engine's files are.
    with (collection / "log").open("wb") as log:
        log.truncate(32 * 1024**2)
    assert (await all_well(folder, of(folder)))["memory"] == "in the data folder, 3.0 MB"


@pytest.mark.server_backed
async def test_qdrant_is_asked_with_its_key(folder: Path, qdrant_description: Description) -> None:
    with FakeQdrant(qdrant_description, api_key="qdrant-secret") as qdrant:
        place = qdrant.url.removeprefix("http://")
        right = of(folder, QDRANT_URL=qdrant.url, QDRANT_API_KEY="qdrant-secret")
        assert (await all_well(folder, right))["memory"] == f"Qdrant at {place}, ready"
        for wrong in ({"QDRANT_API_KEY": "another-secret"}, {}):
            said = await problem(folder, "memory", of(folder, QDRANT_URL=qdrant.url, **wrong))
            assert said.detail == f"Qdrant at {place} refused the credentials (HTTP 401)"
            assert "QDRANT_API_KEY" in said.mend
        qdrant.fail(Answer(503), operation="readyz")
        assert "not ready (HTTP 503)" in (await problem(folder, "memory", right)).detail
        qdrant.assert_nothing_wrong()
    gone = await problem(folder, "memory", right)
    assert gone.detail == f"Qdrant at {place} is not reachable"
    assert "QDRANT_URL" in gone.mend


async def test_agents_whose_memories_another_model_embedded_are_a_problem_with_the_command_that_mends_it(
    folder: Path,
) -> None:
    environment = of(folder)
    assert (await run_codelab("migrate", environment=environment, folder=folder)).code == 0
    remembering(folder, ("minilm", 384), ("hashing", 512), ("hashing", 512), ("hashing", 512, "2026-01-01 00:00:00"))
    said = await problem(folder, "embeddings", environment)
    assert "2 by hashing (512 dimensions)" in said.detail
    assert said.mend == "run `codelab memory migrate`, or set EMBEDDING_MODEL=hashing"
    remembering(folder, ("other", 3))
    said = await problem(folder, "embeddings", environment)
    assert "2 by hashing (512 dimensions), 1 by other (3 dimensions)" in said.detail
    assert said.mend == "run `codelab memory migrate`"


async def test_memories_of_another_length_are_a_problem_too(folder: Path) -> None:
    with FakeModel(dimension=96) as model:
        environment = of(folder, **embedding_by(model))
        assert (await run_codelab("migrate", environment=environment, folder=folder)).code == 0
        remembering(folder, ("embed-test", 96))
        await all_well(folder, environment)
        remembering(folder, ("embed-test", 64))
        said = await problem(folder, "embeddings", environment)
    assert "1 by embed-test (64 dimensions)" in said.detail
    assert said.mend == "run `codelab memory migrate`"


async def test_memories_that_another_model_embedded_are_found_on_a_server_too(
    folder: Path, postgres_server: PostgresServer
) -> None:
    environment = of(folder, DATABASE_URL=await postgres_server.create_database(f"doctor {uuid.uuid4()}"))
    assert (await run_codelab("migrate", environment=environment, folder=folder)).code == 0
    await all_well(folder, environment)
    database = PostgresDatabase(environment["DATABASE_URL"], "agents", connections=1)
    owner, now = Owner(str(uuid.uuid4()), str(uuid.uuid4())), datetime.now(UTC)
    agent = Agent(str(uuid.uuid4()), owner, "Helper", AgentConfig(), "ready", 1, now, now)
    try:
        await SqlAgentStore(database).create_space(owner, [agent])
        await SqlMemoryRegistry(database).register(owner, agent.id, Embedding("hashing", 512))
    finally:
        await database.close()
    assert "1 by hashing" in (await problem(folder, "embeddings", environment)).detail


# What the agents queue at


async def test_redis_that_is_down_or_does_not_know_us_is_a_problem(folder: Path, shared_redis: RedisServer) -> None:
    assert "answers" in (await all_well(folder, of(folder, REDIS_URL=shared_redis.url)))["queues"]
    for url, words in (
        (f"redis://:secret@127.0.0.1:{free_ports()}/0", "cannot be used"),
        (f"redis://:wrong-secret@127.0.0.1:{shared_redis.port}/0", "refused the credentials"),
    ):
        said = await problem(folder, "queues", of(folder, REDIS_URL=url))
        assert words in said.detail
        assert "REDIS_URL" in said.mend


async def test_redis_that_takes_nothing_more_is_a_problem(folder: Path, shared_redis: RedisServer) -> None:
    async with redis_of(shared_redis.url) as redis:
        await redis.config_set("maxmemory", 1)
        try:
            said = await problem(folder, "queues", of(folder, REDIS_URL=shared_redis.url))
        finally:
            await redis.config_set("maxmemory", 0)
        assert "maxmemory" in said.detail
        assert not await redis.exists("session_events_doctor")


async def test_redis_that_throws_away_what_is_needed_is_warned_of(folder: Path, shared_redis: RedisServer) -> None:
    environment = of(folder, REDIS_URL=shared_redis.url)
    async with redis_of(shared_redis.url) as redis:
        await redis.config_set("maxmemory", 10**9)
        await redis.config_set("maxmemory-policy", "volatile-lru")
        try:
            code, found = await examined(folder, environment)
        finally:
            await redis.config_set("maxmemory", 0)
            await redis.config_set("maxmemory-policy", "noeviction")
    (said,) = found["queues"]
    assert (code, said.status) == (0, "warn")
    assert "volatile-lru" in said.detail


def embedding_by(model: FakeModel) -> dict[str, str]:
    return {"OPENAI_BASE_URL": model.url, "OPENAI_MODEL": "fake-model", "EMBEDDING_MODEL": "embed-test"}


def host(model: FakeModel) -> str:
    return model.url.removeprefix("http://").removesuffix("/v1")


async def failed_embeddings(folder: Path, environment: dict[str, str]) -> Finding:
    """What is said of the embeddings of an endpoint that does not answer for its model either."""
    code, found = await examined(folder, environment)
    failed = [each for findings in found.values() for each in findings if each.status == "fail"]
    assert (code, [each.what for each in failed]) == (1, ["model", "embeddings"]), failed
    assert failed[1].mend
    return failed[1]


def remembering(folder: Path, *collections: tuple[str, int] | tuple[str, int, str]) -> None:
    """Let there be agents whose memories have this model, these dimensions and, if they are dropped, that time."""
    with closing(sqlite3.connect(folder / "data" / "agents.db")) as connection, connection:
        for model, dimension, *dropped in collections:
            row = (str(uuid.uuid4()), str(uuid.uuid4()), str(uuid.uuid4()), model, dimension, *(dropped or [None]))
            connection.execute(
                "INSERT INTO memory_collections (agent_id, project_id, user_id, embedding_model, dimension, dropped_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                row,
            )


# Workspaces


@pytest.mark.parametrize(
    ("agents", "shared", "status", "said"),
    [
        ("127.0.0.1:2", "", "ok", "right for one replica"),
        ("127.0.0.1:2+127.0.0.1:5", "", "warn", "files of its own"),
        ("127.0.0.1:2+127.0.0.1:5", "/srv/files", "ok", "/srv/files"),
    ],
    ids=["one", "replicas", "shared"],
)
async def test_replicas_of_agents_have_to_share_the_files_of_projects(
    agents: str, shared: str, status: str, said: str
) -> None:
    chosen = {"CODELAB_BACKENDS": f"host:1,{agents},host:3,host:4", "CODELAB_WORKSPACES_DIR": shared}
    [found] = await workspaces(Settings.load(chosen))
    assert (found.status, said in found.detail) == (status, True)
