"""The programs of docs/events.md, run as they stand: they print every event once, whatever happens to the network."""

import contextlib
import json
import shlex
import shutil
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cutting import cutting
from tests.e2e.client import Chat, answer, signed_in
from tests.e2e.events import Event, Format
from tests.e2e.events_page import PAGE, blocks
from tests.e2e.program import Program, started
from tests.e2e.suite import SERVICES, Layout, Suite
from tests.e2e.test_grpcurl import find_grpcurl, json_values
from tests.fakes.openai_script import Script
from tests.fakes.openai_server import FakeModel

pytestmark = [
    pytest.mark.e2e_external,
    pytest.mark.parametrize("suite", [Layout.ONE], indirect=True, ids=str, scope="session"),
]

BLOCKS = blocks(PAGE.read_text(encoding="utf-8"))
ANSWERS = ["One, 𝄞 and two.", "Three\u2028and four.", "Five."]


def placed(block: str, suite: Suite, url: str, streams: str) -> str:
    """The program with the addresses of this suite instead of those of `make up`."""
    program = BLOCKS[block].replace("http://127.0.0.1:8000", url)
    for number, service in enumerate(SERVICES):
        address = streams if service == "streams" else suite.grpc_address(service)
        program = program.replace(f"127.0.0.1:{9101 + number}", address)
    return program


@contextlib.asynccontextmanager
async def signed_in_chat(suite: Suite) -> AsyncIterator[tuple[Chat, str]]:
    token = await suite.token(str(uuid.uuid4()))
    async with signed_in(suite.url, token) as api:
        yield await api.new_chat(), token


def events_of_curl(lines: list[str]) -> list[tuple[str, str, str]]:
    """Id, type and output of each event that has an id."""
    events = [json.loads(line) for line in lines]
    return [told(event) for event in events if event["id"]]


def events_of_python(lines: list[str]) -> list[tuple[str, str, str]]:
    parts = [line.split(" ", 2) for line in lines]
    return [(id, type, *(rest or [""])) for id, type, *rest in parts if id not in ("", "None")]


def told(event: Event) -> tuple[str, str, str]:
    return event["id"], event["type"], event["payload"].get("output", "")


async def test_programs_print_every_event_once_though_the_network_breaks_in_mid_answer(
    suite: Suite, model: FakeModel, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    async with (
        signed_in_chat(suite) as (chat, token),
        cutting(suite.url.removeprefix("http://")) as gateway,
        cutting(suite.grpc_address("streams")) as streams,
        chat.watch(accept=Format.NDJSON, after="start") as watched,
        contextlib.AsyncExitStack() as stack,
    ):
        names = {"project": chat.project_id, "session": chat.session_id}
        environment = {**suite.environment, "CODELAB_TOKEN": token, **names}

        async def run(block: str, *command: str) -> Program:
            path = tmp_path / block
            path.write_text(placed(block, suite, f"http://{gateway.address}", streams.address), encoding="utf-8")
            running = started(*command, str(path), *names.values(), folder=tmp_path, environment=environment)
            return await stack.enter_async_context(running)

        in_python = [await run(block, sys.executable) for block in ("watch_grpc.py", "watch_http.py")]
        with_curl = await run("watch.sh", "bash", "-eu")
        programs = [*in_python, with_curl]
        for text in ANSWERS:
            gate = str(uuid.uuid4())
            script = Script(answer=text, chunks=3, after_chunks=1, gate=gate)
            run_id = (await chat.start(f"Count. {script.directive()}"))["id"]
            for program in programs:
                await program.until("message_delta", "message_snapshot")
            assert streams.cut() > 0
            assert gateway.cut() > 0
            model.open_gate(gate)
            await chat.run_after(run_id, "succeeded")
            for program in programs:
                await program.until("agent_completed")
        assert (await chat.http.delete(chat.session_path)).status_code == 204
        expected = [told(event) for event in (await watched.to_end()).events if event["id"]]
        assert [await program.ended() for program in programs] == [0, 0, 0]
    assert [output for _, type, output in expected if type == "agent_completed"] == ANSWERS
    assert [events_of_python(program.lines) for program in in_python] == [expected, expected]
    assert events_of_curl(with_curl.lines) == expected
    assert gateway.connections >= 2 * (1 + len(ANSWERS))


async def test_grpcurl_prints_a_run_and_goes_on_after_an_id(suite: Suite, tmp_path: Path) -> None:
    grpcurl = find_grpcurl()
    if grpcurl is None:
        pytest.skip("grpcurl is not installed")
    async with signed_in_chat(suite) as (chat, token):
        run_id = (await answer(chat.send("Hello.")))["run_id"]
        async with chat.watch(accept=Format.NDJSON, after="start", run_id=run_id) as stream:
            expected = [event["id"] for event in (await stream.to_end()).events if event["id"]]
        names = {"project": chat.project_id, "session": chat.session_id, "run": run_id, "CODELAB_TOKEN": token}
        block = placed("watch_grpcurl.sh", suite, suite.url, suite.grpc_address("streams"))

        async def printed(after: str) -> list[Event]:
            script = f'grpcurl() {{ {shlex.quote(grpcurl)} "$@"; }}\n{block.replace("start", after)}'
            environment = {**suite.environment, **names}
            async with started("bash", "-euc", script, folder=tmp_path, environment=environment) as program:
                await program.ended()
            return [message["event"] for message in json_values("\n".join(program.lines))]

        first, later = await printed("start"), await printed(expected[1])
    for events, ids in ((first, expected), (later, expected[2:])):
        assert [event["id"] for event in events[1:] if "id" in event] == ids
        assert events[-1]["stream_ended"]["reason"] == "run_finished"
