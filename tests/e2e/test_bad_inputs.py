"""Everything that should not be sent, sent: it is refused with exact status, reason and fields, and changes nothing."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import pytest_asyncio

from codelab_client import ApiError
from tests.e2e.bad_bodies import BAD_BODIES
from tests.e2e.bad_inputs import Row
from tests.e2e.bad_messages import BAD_MESSAGES, Call
from tests.e2e.bad_requests import BAD_REQUESTS
from tests.e2e.client import Api, Chat, answer, signed_in
from tests.e2e.suite import Suite
from tests.e2e.wire import Response, chunk, chunked, exchange, request

pytestmark = pytest.mark.one_layout

BAD_INPUTS = BAD_BODIES | BAD_REQUESTS
MEMBERS = {"type", "title", "status", "detail", "code", "reason", "errors", "trace_id", "metadata"}


@dataclass(frozen=True)
class Estate:
    """A user who has one of each, and the words that stand for them in the table."""

    suite: Suite
    api: Api
    chat: Chat
    words: dict[bytes, bytes]

    async def send(self, row: Row) -> Response:
        return await exchange("127.0.0.1", self.suite.http_port, self.filled(row.sent), half_close=row.half_close)

    async def call(self, call: Call) -> tuple[str, str | None, tuple[str, ...]]:
        """Code, reason and fields of the error that a call ends with."""
        process, _, service = call.service.partition(":")
        options = [("grpc.max_send_message_length", -1)]
        async with grpc.aio.insecure_channel(self.suite.grpc_address(process), options) as channel:
            authorization = self.words[b"$TOKEN"].decode()
            answers: Any = channel.unary_stream(f"/{service}/{call.method}")(
                call.sent, metadata=[("authorization", f"Bearer {authorization}")], timeout=30
            )
            try:
                found = [answer async for answer in answers]
            except grpc.aio.AioRpcError as refusal:
                error = ApiError.of(refusal)
                return error.code.name, error.reason, tuple(field for field, _ in error.violations)
        raise AssertionError(f"{call} was answered with {found!r}")

    def filled(self, sent: bytes) -> bytes:
        """The bytes with the words' meanings."""
        for word, meaning in self.words.items():
            sent = sent.replace(word, meaning)
        return sent

    async def snapshot(self) -> list[Any]:
        """Everything that the user has."""
        below = (
            "",
            "/agents",
            "/tool-policy",
            "/chat/sessions",
            f"/chat/sessions/{self.chat.session_id}/messages",
            "/runs",
        )
        paths = ["/my/projects", *(self.chat.project_path + path for path in below)]
        return [await answer(self.api.http.get(path)) for path in paths]


@pytest_asyncio.fixture(scope="module")
async def estate(suite: Suite) -> AsyncIterator[Estate]:
    token = await suite.token(str(uuid.uuid4()))
    async with signed_in(suite.url, token) as api:
        chat = await api.new_chat()
        reply = await answer(chat.send("Hello."))
        await chat.recorded(reply["run_id"])
        agents = await answer(api.http.get(f"{chat.project_path}/agents?page_size=1"))
        words = {
            "$TOKEN": token,
            "$P": chat.project_id,
            "$S": chat.session_id,
            "$A": reply["agent_id"],
            "$R": reply["run_id"],
            "$T": agents["next_page_token"],
        }
        assert all(words.values())
        encoded = {word.encode(): meaning.encode() for word, meaning in words.items()}
        yield Estate(suite, api, chat, encoded)


@pytest.mark.parametrize("kind", BAD_INPUTS)
async def test_bad_inputs_are_refused_by_name_and_change_nothing(estate: Estate, kind: str) -> None:
    before = await estate.snapshot()
    differences = []
    for row in BAD_INPUTS[kind]:
        found = await estate.send(row)
        if wrong := difference(row, found):
            differences.append(f"{row}: {wrong}")
    assert not differences, "\n".join(differences)
    assert await estate.snapshot() == before


@pytest.mark.parametrize("kind", BAD_MESSAGES)
async def test_bad_messages_are_refused_by_name_and_change_nothing(estate: Estate, kind: str) -> None:
    before = await estate.snapshot()
    differences = []
    for call in BAD_MESSAGES[kind]:
        got = await estate.call(call)
        if got != (call.code, call.reason, call.fields):
            differences.append(f"{call}: answered {got}, not {(call.code, call.reason, call.fields)}")
    assert not differences, "\n".join(differences)
    assert await estate.snapshot() == before


def difference(row: Row, found: Response) -> str | None:
    """What is not as the table has it."""
    if not (row.status and found.status):
        return None if row.status == found.status else f"answered {found.status}, not {row.status}"
    if found.headers.get("content-type") != "application/problem+json":
        return f"answered {found.status} with {found.headers} {found.body[:200]!r}"
    problem = found.json
    got = (found.status, problem["reason"], tuple(error["field"] for error in problem["errors"]))
    if got != (row.status, row.reason, row.fields):
        return f"answered {got}, not {(row.status, row.reason, row.fields)}"
    if problem.keys() != MEMBERS or problem["status"] != found.status or not problem["detail"]:
        return f"answered {problem}"
    if problem["trace_id"] != found.headers["x-trace-id"]:
        return f"has another trace in its header than in {problem}"
    if (found.status == 405) != ("allow" in found.headers):
        return f"answered {found.status} with {found.headers}"
    return None


def test_table_is_long_enough() -> None:
    assert sum(map(len, BAD_INPUTS.values())) >= 100
    assert sum(map(len, BAD_MESSAGES.values())) >= 20


async def test_every_reason_of_the_table_is_in_the_document(estate: Estate) -> None:
    components = (await answer(estate.api.http.get("/openapi.json")))["components"]
    documented = {
        (str(example["value"]["status"]), example["value"]["reason"])
        for example in components["examples"].values()
        if isinstance(example["value"], dict) and example["value"].keys() == MEMBERS
    }
    # Of what is no operation of the document nothing is said there.
    elsewhere = {("404", "ROUTE_NOT_FOUND"), ("405", "METHOD_NOT_ALLOWED")}
    answered = {(str(row.status), row.reason) for rows in BAD_INPUTS.values() for row in rows if row.status}
    assert answered - elsewhere - documented == set()


async def test_unfinished_requests_hold_nobody_up(estate: Estate) -> None:
    unfinished = [
        b"",
        b"GET /my HT",
        request("POST", "/my/projects", b'{"name": "', length=1000),
        chunked("POST", "/my/projects", chunk(b'{"name": "')),
    ]
    before = await estate.snapshot()
    async with contextlib.AsyncExitStack() as connections:
        for data in unfinished * 25:
            _, writer = await asyncio.open_connection("127.0.0.1", estate.suite.http_port)
            connections.callback(writer.close)
            writer.write(estate.filled(data))
            await writer.drain()
        assert await estate.snapshot() == before
    assert await estate.snapshot() == before
