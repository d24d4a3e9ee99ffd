"""Starting and stopping: wrong settings, taken ports, and `up --processes`."""

import asyncio
import json
import socket
import sys
import uuid
from pathlib import Path

import pytest

from tests.e2e.client import Api, answer, signed_in
from tests.e2e.conftest import settings
from tests.e2e.polling import eventually
from tests.e2e.ports import free_ports
from tests.e2e.suite import LIVING, ROOT, Layout, Result, Suite, clean_environment, run_codelab, running
from tests.fakes.openai_script import DEFAULT_ANSWER
from tests.fakes.openai_server import FakeModel

WRONG = {
    "CODELAB_HTTP_PORT": "http",
    "CODELAB_GRPC_PORT_BASE": "99999",
    "CODELAB_LOG_LEVEL": "loud",
    "CODELAB_LEASE_SECONDS": "0",
    "CODELAB_BACKENDS": "somewhere",
    "JWT_SECRET_KEY": "short",
    "SERVICE_TOKEN_KEY": "short",
    "OPENAI_BASE_URL": "ftp://models.example",
    "CORS_ORIGINS": "example.com",
    "DATABASE_URL": "mysql://db/codelab",
    "REDIS_URL": "http://cache",
    "QDRANT_URL": "vectors:6333",
}
COMMANDS = [["up"], ["up", "--processes"], ["serve", "projects"], ["gateway"], ["token"]]


def one_line(result: Result) -> str:
    """What a start that failed said to people, beside its log: one line."""
    assert result.code > 0, result.output
    lines = [line for line in result.output.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, result.output
    return lines[0]


async def refused(folder: Path, *command: str, **changed: str) -> str:
    suite = Suite(Layout.ONE, folder)
    return one_line(await run_codelab(*command, environment={**suite.environment, **changed}, folder=folder))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
async def test_wrong_value_stops_the_start_with_one_line_that_names_the_variable(
    folder: Path, command: list[str]
) -> None:
    # Every command reads the same settings: the quickest tries them all, the others one each.
    tried = WRONG if command == ["token"] else {"CODELAB_LOG_LEVEL": "loud"}
    lines = await asyncio.gather(*(refused(folder, *command, **{name: value}) for name, value in tried.items()))
    for name, line in zip(tried, lines, strict=True):
        assert name in line


async def test_misspelt_setting_is_named_in_one_line_of_the_log(folder: Path) -> None:
    environment = Suite(Layout.ONE, folder).environment | {"CODELAB_LOG_LEVL": "debug", "CODELAB_MOOD": "secret"}
    result = await run_codelab("token", environment=environment, folder=folder)
    [line] = result.stderr.splitlines()
    assert json.loads(line)["variables"] == ["CODELAB_LOG_LEVL (did you mean CODELAB_LOG_LEVEL?)", "CODELAB_MOOD"]
    assert "secret" not in line
    assert (result.code, len(result.stdout.splitlines())) == (0, 1)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, "MiniLM, on disk"),
        ({"EMBEDDING_MODEL": "hashing"}, "hashing (finds words, not meaning), on disk"),
        (
            {
                "EMBEDDING_MODEL": "text-embedding-3-small",
                "OPENAI_BASE_URL": "https://user:secret@models.example/secret/v1?key=secret",
                "OPENAI_API_KEY": "sk-secret",
                "QDRANT_URL": "http://user:secret@vectors.example:6334/secret",
                "QDRANT_API_KEY": "secret",
            },
            "text-embedding-3-small at https://models.example, on Qdrant at http://vectors.example:6334",
        ),
    ],
    ids=["bundled", "hashing", "servers"],
)
async def test_welcome_tells_what_memories_are_found_by_and_where_they_are_without_secrets(
    folder: Path, given: dict[str, str], line: str
) -> None:
    async with running(Layout.ONE, folder, **given) as suite:
        log = folder / "up.log"
        await eventually(lambda: "is ready." in log.read_text(), what="the welcome")
        await suite.stop()
    [told] = [each for each in log.read_text().splitlines() if each.startswith("  Memory ")]
    assert told == f"  Memory {line}"
    assert "secret" not in log.read_text()


@pytest.mark.parametrize("layout", [Layout.ONE, Layout.UP_PROCESSES], ids=str)
async def test_suite_and_every_command_read_the_file_env_of_their_folder(folder: Path, layout: Layout) -> None:
    suite = Suite(layout, folder)
    written = {name: value for name, value in suite.environment.items() if name.startswith("CODELAB_")}
    lines = [f"export {name}='{value}'" for name, value in written.items()]
    (folder / ".env").write_text("\n".join(["# ours", *lines, "OPENAI_MODEL=of-the-file  # no key", "CODELAB_MOOD=x"]))
    suite.variables_in_file = frozenset(written)
    LIVING.append(suite)
    try:
        await suite.start()
        async with signed_in(suite.url, await suite.token(str(uuid.uuid4()))) as api:
            chat = await api.new_chat()
            assert "offline model" in (await answer(chat.send("Hello.")))["content"]
        assert "CODELAB_MOOD in .env" in (folder / "up.log").read_text()
        make = await asyncio.create_subprocess_exec(
            *("make", "--no-print-directory", "-f", str(ROOT / "Makefile"), "down", f"VENV={sys.prefix}"),
            cwd=folder,
            env=suite.environment,
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await make.communicate()
        assert (make.returncode, said.decode()) == (0, "The suite is stopped.\n")
        assert await suite.processes["up"].wait() == 0
    finally:
        await suite.kill()
        LIVING.remove(suite)


async def test_line_of_the_file_env_that_cannot_be_read_is_named_without_its_value(folder: Path) -> None:
    (folder / ".env").write_text("OPENAI_MODEL=ours\nOPENAI_API_KEY='sk-secret\n")
    line = await refused(folder, "token")
    assert ".env, line 2" in line
    assert "secret" not in line


async def test_data_folder_that_cannot_be_made_is_named(folder: Path) -> None:
    (folder / "file").write_text("in the way")
    assert "CODELAB_DATA_DIR" in await refused(folder, "up", CODELAB_DATA_DIR=str(folder / "file"))


@pytest.mark.parametrize("variable", ["CODELAB_HTTP_PORT", "CODELAB_GRPC_PORT_BASE"])
async def test_taken_port_stops_the_start_with_one_line(folder: Path, variable: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_ports(4)))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = await refused(folder, "up", **{variable: port})
    assert port in line
    assert variable in line


@pytest.mark.parametrize("command", [["up"], ["up", "--processes"]], ids=" ".join)
async def test_second_suite_on_the_same_data_is_refused(suite: Suite, command: list[str]) -> None:
    before = sorted((suite.folder / "data").glob("*.pid"))
    ports = {"CODELAB_HTTP_PORT": str(free_ports()), "CODELAB_GRPC_PORT_BASE": str(free_ports(4))}
    result = await run_codelab(*command, environment={**suite.environment, **ports}, folder=suite.folder)
    assert "CODELAB_DATA_DIR" in one_line(result)
    assert sorted((suite.folder / "data").glob("*.pid")) == before, "`make down` must find the suite that runs"


async def test_processes_on_anothers_ports_do_not_take_its_readiness_for_theirs(suite: Suite, folder: Path) -> None:
    environment = {**suite.environment, "CODELAB_DATA_DIR": str(folder / "data")}
    result = await run_codelab("up", "--processes", environment=environment, folder=folder)
    assert "CODELAB_GRPC_PORT_BASE" in one_line(result)
    assert result.stdout == ""


async def test_suite_without_reflection_is_refused(folder: Path) -> None:
    assert "CODELAB_REFLECTION" in await refused(folder, "up", CODELAB_REFLECTION="false")


async def test_token_that_cannot_be_meant_is_refused(folder: Path) -> None:
    wrong = {
        "UUID": ["--user", "ann"],
        "--user": ["--user", ""],
        "--service": ["--service", ""],
        "--email": ["--service", "reports", "--email", "ann@example.com"],
        "--hours": ["--hours", "nan"],
        "ten years": ["--hours", "1e300"],
    }
    environment = clean_environment()
    results = await asyncio.gather(
        *(run_codelab("token", *each, environment=environment, folder=folder) for each in wrong.values())
    )
    for named, result in zip(wrong, results, strict=True):
        assert named in one_line(result)
        assert result.stdout == ""


async def test_up_with_processes_serves_and_takes_its_children_with_it(folder: Path, model: FakeModel) -> None:
    async with running(Layout.UP_PROCESSES, folder, **settings(Layout.UP_PROCESSES, model)) as suite:
        pids = suite.pids()
        assert len(pids) >= 5
        async with signed_in(suite.url, await suite.token(str(uuid.uuid4()))) as api:
            chat = await api.new_chat()
            assert (await answer(chat.send("Hello.")))["content"] == DEFAULT_ANSWER
        assert await suite.stop() == {"up": 0}
        await eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), what="the end of every child")


async def test_proxy_of_the_environment_is_not_asked_for_services_on_this_machine(folder: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_ports()}"
    proxies = dict.fromkeys(["http_proxy", "HTTP_PROXY", "https_proxy", "grpc_proxy"], nowhere)
    async with running(Layout.ONE, folder, **proxies, no_proxy="", NO_PROXY="") as suite:
        async with signed_in(suite.url, await suite.token(str(uuid.uuid4()))) as api:
            chat = await api.new_chat()
            assert "offline model" in (await answer(chat.send("Hello.")))["content"]
        assert await suite.stop() == {"up": 0}


@pytest.mark.parametrize("suite", [Layout.FIVE], indirect=True, ids=str)
async def test_gateway_waits_for_services_that_start_later(suite: Suite, ann: Api) -> None:
    projects = suite.processes.pop("projects")
    projects.terminate()
    assert await projects.wait() == 0

    async def degraded() -> bool:
        return bool((await answer(ann.http.get("/ready")))["status"] == "degraded")

    try:
        await eventually(degraded, what="/ready saying so")
        assert (await ann.http.get("/my/projects")).status_code == 503
    finally:
        await suite.start("projects")
    assert (await ann.http.get("/my/projects")).status_code == 200
