"""Whatever proves nobody is refused, on every RPC and every route, over real sockets.

RPCs come from the services' own reflection and routes from the OpenAPI description, so a new one is tested on the day
it appears.
"""

import asyncio
import itertools
import re
import uuid
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from codelab.options.v1 import options_pb2
from google.protobuf.descriptor_pb2 import MethodOptions

from codelab_client import ApiError, connect
from gateway.reflection import describe
from services.runtime.auth import Keys
from services.runtime.calls.channel import reach
from services.runtime.calls.neighbours import Neighbours
from services.runtime.settings import Settings
from tests.e2e.client import Api, Chat, answer, problem
from tests.e2e.events import Watch
from tests.e2e.suite import SERVICES, Suite
from tests.tokens import DECISIVE, Bad, bad_tokens, service, signed

pytestmark = pytest.mark.one_layout

NOT_ADMITTED = ("UNAUTHENTICATED", "PERMISSION_DENIED")


@dataclass(frozen=True)
class Rpc:
    """A method of a service, called with an empty request whatever it expects: who is refused is so before that."""

    path: str
    channel: grpc.aio.Channel
    internal: bool
    takes_stream: bool
    in_tunnel: bool

    def __str__(self) -> str:
        return f"{self.path} in a tunnel" if self.in_tunnel else self.path

    async def refusal(self, authorization: Iterable[str]) -> ApiError | None:
        """How it is refused; None if it answers."""
        metadata = [("authorization", value) for value in authorization]
        # On the wire every answer is a stream.
        kind: Any = self.channel.stream_stream if self.takes_stream else self.channel.unary_stream
        # A stream of requests that ends at once: writing to a call that is refused meanwhile would break it here.
        nothing = None if self.in_tunnel else _nothing()
        call = kind(self.path)(nothing if self.takes_stream else b"", metadata=metadata, timeout=30)
        try:
            if self.in_tunnel:
                await call.done_writing()
            if await call.read() is not grpc.aio.EOF:
                return None
            code = await call.code()
        except grpc.aio.AioRpcError as error:
            return ApiError.of(error)
        finally:
            call.cancel()
        if code is grpc.StatusCode.OK:
            return None
        return ApiError.of(
            grpc.aio.AioRpcError(
                code, await call.initial_metadata(), await call.trailing_metadata(), await call.details()
            )
        )


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


@dataclass(frozen=True)
class Doors:
    """Every way into a suite, and its keys."""

    suite: Suite
    keys: Keys
    rpcs: list[Rpc]
    routes: list[tuple[str, str]]
    http: httpx.AsyncClient

    @property
    def public(self) -> list[Rpc]:
        return [rpc for rpc in self.rpcs if not rpc.internal]

    @property
    def internal(self) -> list[Rpc]:
        return [rpc for rpc in self.rpcs if rpc.internal]

    async def ask(self, method: str, path: str, authorization: Iterable[str]) -> httpx.Response:
        headers = [("authorization", value) for value in authorization]
        return await self.http.request(method, path, headers=headers)


@pytest_asyncio.fixture(scope="session")
async def doors(suite: Suite) -> AsyncIterator[Doors]:
    rpcs = []
    addresses = [suite.grpc_address(name) for name in SERVICES]
    channels = [(connect(address), reach(address, Neighbours())) for address in addresses]
    for network, tunnel in channels:
        # A service may have been restarted a moment ago, and gRPC still be waiting before it connects again.
        await asyncio.wait_for(network.channel_ready(), 10)
        for each in (await describe(network, 10)).descriptors():
            for method in each.methods:
                path, rules = f"/{each.full_name}/{method.name}", _rules(method)
                # What is open to all is the tunnel itself.
                if not rules.open:
                    rpcs.append(Rpc(path, network, rules.internal, method.client_streaming, in_tunnel=False))
                    rpcs.append(Rpc(path, tunnel, rules.internal, method.client_streaming, in_tunnel=True))
    async with httpx.AsyncClient(base_url=suite.url, timeout=30) as http:
        described = (await http.get("/openapi.json")).json()
        routes = [
            (method.upper(), re.sub(r"\{\w+\}", lambda _: str(uuid.uuid4()), path))
            for path, item in described["paths"].items()
            for method in item
            if path.startswith("/my") and method in ("get", "post", "put", "patch", "delete")
        ]
        yield Doors(suite, Keys.of(Settings.load(suite.environment)), rpcs, routes, http)
    for channel in itertools.chain(*channels):
        await channel.close()


def _rules(method: Any) -> options_pb2.MethodRules:
    # Reflection's pool has its own copy of the contract's options.
    options = MethodOptions.FromString(method.GetOptions().SerializeToString())
    return options.Extensions[options_pb2.method]


def test_doors_are_found(doors: Doors) -> None:
    assert len(doors.routes) >= 20
    assert len(doors.public) >= 40
    assert len(doors.internal) >= 14
    assert {rpc.path.split(".")[1] for rpc in doors.rpcs} == set(SERVICES)


def wrong_refusals(name: str, bad: Bad, rpc: Rpc, refused: ApiError | None) -> list[str]:
    if refused is None or refused.code is not grpc.StatusCode.UNAUTHENTICATED or refused.reason != bad.reason:
        return [f"{rpc} with {name}: {refused!r}"]
    return [f"{rpc} echoes {name}" for secret in bad.secrets() if secret in repr(refused)]


def wrong_answers(name: str, bad: Bad, door: str, answer: httpx.Response) -> list[str]:
    challenge = answer.headers.get("www-authenticate", "")
    told = (answer.status_code, answer.headers["content-type"], answer.json()["reason"])
    expected = (401, "application/problem+json", bad.reason)
    wrong = [] if told == expected else [f"{door} with {name}: {answer.status_code} {answer.text}"]
    if bad.reason == "TOKEN_MISSING" and challenge != 'Bearer realm="codelab"':
        wrong.append(f"{door} with {name}: challenge {challenge}")
    if bad.reason != "TOKEN_MISSING" and 'Bearer realm="codelab", error="invalid_token", error_des' not in challenge:
        wrong.append(f"{door} with {name}: challenge {challenge}")
    said = answer.text + str(answer.headers)
    return wrong + [f"{door} echoes {name}" for secret in bad.secrets() if secret in said]


async def test_every_bad_token_is_refused_by_each_service_and_the_gateway_and_logged_by_none(doors: Doors) -> None:
    table = bad_tokens(doors.keys)
    one_each = {(rpc.path.split(".")[1], rpc.in_tunnel, rpc.internal): rpc for rpc in doors.rpcs}
    wrong = []
    for name, bad in table.items():
        for rpc in one_each.values():
            wrong += wrong_refusals(name, bad, rpc, await rpc.refusal(bad.authorization))
        wrong += wrong_answers(name, bad, "GET /my", await doors.ask("GET", "/my", bad.authorization))
    assert wrong == []
    logs = doors.suite.logs(last_lines=1_000_000)
    secrets = [secret for bad in table.values() for secret in bad.secrets()]
    assert [secret for secret in secrets if secret in logs] == []


@pytest.mark.parametrize("name", DECISIVE)
async def test_every_rpc_and_every_route_refuses(doors: Doors, name: str) -> None:
    bad = bad_tokens(doors.keys)[name]
    wrong = []
    for rpc in doors.rpcs:
        wrong += wrong_refusals(name, bad, rpc, await rpc.refusal(bad.authorization))
    for method, path in doors.routes:
        wrong += wrong_answers(name, bad, f"{method} {path}", await doors.ask(method, path, bad.authorization))
    assert wrong == []


async def test_users_are_admitted_by_every_public_rpc_and_no_internal_one(doors: Doors) -> None:
    token = [f"Bearer {signed(doors.keys.user_secret, sub=str(uuid.uuid4()))}"]
    refused = {str(rpc): await rpc.refusal(token) for rpc in doors.rpcs}
    denied = {path for path, error in refused.items() if error is not None and error.code.name in NOT_ADMITTED}
    assert denied == {str(rpc) for rpc in doors.internal}
    assert {refused[path].code.name for path in denied} == {"PERMISSION_DENIED"}  # type: ignore[union-attr]


async def test_services_are_admitted_by_every_rpc_and_no_route(doors: Doors) -> None:
    token = f"Bearer {service(doors.keys.service_secret, sub=str(uuid.uuid4()))}"
    refused = {str(rpc): await rpc.refusal([token]) for rpc in doors.rpcs}
    assert {path for path, error in refused.items() if error is not None and error.code.name in NOT_ADMITTED} == set()
    bad, wrong = Bad((token,), "TOKEN_INVALID"), []
    for method, path in doors.routes:
        wrong += wrong_answers("a service token", bad, path, await doors.ask(method, path, bad.authorization))
    assert wrong == []


async def test_a_ticket_opens_its_sessions_events_to_a_browser_that_comes_back_and_nothing_else(
    ann: Api, suite: Suite
) -> None:
    chat, other = await ann.new_chat(), await ann.new_chat()
    ticket = (await answer(ann.http.post(f"{chat.path}/events:ticket", json={})))["ticket"]
    async with httpx.AsyncClient(base_url=suite.url, timeout=30) as browser:
        watching, watch = Chat(browser, chat.project_id, chat.session_id), Watch()
        # EventSource repeats its URL, and adds where it was: what it has seen does not come twice.
        for _ in range(2):
            async with watching.watch(watch=watch, ticket=ticket, after="start") as stream:
                await answer(chat.send("Hello."))
                await stream.until("agent_completed")
        assert watch.types(progress=False) == ["message_received", "agent_started", "agent_completed"] * 2

        nowhere = Chat(browser, chat.project_id, str(uuid.uuid4()))
        for path in (f"{other.path}/events", f"{nowhere.path}/events", "/my", f"{chat.session_path}/messages"):
            answered = await browser.get(path, params={"ticket": ticket})
            problem(answered, 401, "TOKEN_INVALID" if path.endswith("events") else "TOKEN_MISSING")
        problem(
            await browser.post(f"{chat.path}/events:ticket", params={"ticket": ticket}, json={}), 401, "TOKEN_MISSING"
        )
        bearer = {"Authorization": f"Bearer {ticket}"}
        problem(await browser.get(f"{chat.path}/events", headers=bearer), 401, "TOKEN_INVALID")
    assert "REDACTED" in (logs := suite.logs(last_lines=1_000_000))
    assert ticket not in logs
