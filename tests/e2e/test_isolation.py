"""Whatever belongs to someone else, or to one's own other project, is answered exactly like what does not exist.

Every RPC and every route is taken from the contract, with the places where it takes ids: one that is new is tested on
the day it appears.
"""

import asyncio
import contextlib
import itertools
import json
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import pytest_asyncio

from codelab_client.channel import connect
from tests.e2e.approving import asking, call, waiting
from tests.e2e.client import FINAL_STATES, Api, Chat, answer, signed_in
from tests.e2e.contract import Answer, Ids, Position, Rpc, ask_grpc, ask_http, every_rpc
from tests.e2e.polling import eventually
from tests.e2e.suite import SERVICES, Suite
from tests.fakes.openai_script import Script

pytestmark = pytest.mark.one_layout

EVERY = every_rpc()
PUBLIC = [rpc for rpc in EVERY if not rpc.internal]
INTERNAL = [rpc for rpc in EVERY if rpc.internal]
TASK = "answer"


@dataclass(frozen=True)
class Estate:
    """Everything that one project can hold."""

    chat: Chat
    resources: dict[str, str]

    def ids(self, rpc: Rpc) -> dict[Position, str]:
        """The estate's ids in every place where the RPC takes one."""
        return {position: self.resources[position.resource] for position in rpc.positions}


@dataclass
class Person:
    """A user at both doors, with two projects."""

    api: Api
    token: str
    channels: dict[str, grpc.aio.Channel]
    estate: Estate
    other: Estate

    async def grpc(self, rpc: Rpc, ids: Ids, **more: str) -> Answer:
        return await ask_grpc(self.channels[rpc.service], rpc, ids, self.token, **more)

    async def everywhere(self, rpc: Rpc, ids: Ids) -> list[Answer]:
        """The answers of the RPC and of each of its routes."""
        routes = [await ask_http(self.api.http, rpc, route, ids) for route in rpc.routes]
        return [await self.grpc(rpc, ids), *routes]

    async def possessions(self) -> dict[str, str]:
        """What every RPC that reads says of both projects, once nothing goes on in them."""
        for estate in (self.estate, self.other):
            await eventually(lambda chat=estate.chat: is_still(chat), what="the end of all runs")
        found = {}
        for estate, rpc in itertools.product((self.estate, self.other), PUBLIC):
            if rpc.reads and not rpc.descriptor.server_streaming:
                ids = {position: value for position, value in estate.ids(rpc).items() if not position.optional}
                said = await self.grpc(rpc, ids)
                assert said.status == "OK", (str(rpc), said)
                found[f"{rpc} of {estate.resources['project']}"] = said.text
        return found


async def is_still(chat: Chat) -> bool:
    """Whether nothing goes on in the project: no run, and no agent that is busy.

    Nor is there an event that is to be recorded as published: with that a session's last_event_id moves.
    """
    runs = (await answer(chat.http.get(f"{chat.project_path}/runs", params={"page_size": 200})))["runs"]
    events = [event for run in runs for event in await chat.timeline(run["id"])]
    agents = (await answer(chat.http.get(f"{chat.project_path}/agents")))["agents"]
    return (
        all(run["state"] in {*FINAL_STATES, "waiting_approval"} for run in runs)
        and all(event["id"] for event in events)
        and all(each["status"] == "ready" for each in agents)
    )


async def estate_of(api: Api) -> Estate:
    chat = await api.new_chat()
    # A page of one has a next, also of questions.
    asks = await api.new_chat(chat.project_id)
    writes = [call("write_file", path=path, content="") for path in ("one", "two")]
    waits = await asks.start(asking(writes))
    [approval, _] = await waiting(asks, waits["id"])
    await answer(chat.send("Hello."))
    reply = await answer(chat.send("Hello again."))
    # Whatever can be done with a run can be done with one that is cancelled. Who tries it again is answered.
    run = await chat.start(f"Never mind. {Script(fault='hang', times=1, key=chat.session_id).directive()}")
    await answer(chat.cancel(run["id"]))

    await eventually(lambda: is_still(chat))
    resources = {
        "project": chat.project_id,
        "session": chat.session_id,
        "run": run["id"],
        "task": TASK,
        "approval": approval["id"],
    }
    memories = await answer(api.http.get(f"{chat.project_path}/agents/{reply['agent_id']}/memory"))
    return Estate(chat, {**resources, "agent": reply["agent_id"], "memory": memories["memories"][0]["id"]})


@pytest_asyncio.fixture(scope="session")
async def channels(suite: Suite) -> AsyncIterator[dict[str, grpc.aio.Channel]]:
    async with contextlib.AsyncExitStack() as stack:
        yield {service: await stack.enter_async_context(connect(suite.grpc_address(service))) for service in SERVICES}


@contextlib.asynccontextmanager
async def someone(suite: Suite, channels: dict[str, grpc.aio.Channel]) -> AsyncIterator[Person]:
    token = await suite.token(str(uuid.uuid4()))
    async with signed_in(suite.url, token) as api:
        yield Person(api, token, channels, *await asyncio.gather(estate_of(api), estate_of(api)))


@pytest_asyncio.fixture(scope="session")
async def owner(suite: Suite, channels: dict[str, grpc.aio.Channel]) -> AsyncIterator[Person]:
    async with someone(suite, channels) as owner:
        yield owner


@pytest_asyncio.fixture(scope="session")
async def stranger(suite: Suite, channels: dict[str, grpc.aio.Channel]) -> AsyncIterator[Person]:
    async with someone(suite, channels) as stranger:
        yield stranger


def nothing(positions: Iterable[Position]) -> dict[Position, str]:
    """Ids that nothing has."""
    return {position: str(uuid.uuid4()) for position in positions}


def trials(positions: list[Position]) -> Iterator[list[Position]]:
    """Each place alone, and all at once."""
    yield from ([position] for position in positions)
    if len(positions) > 1:
        yield positions


async def betrayals(
    asker: Person, rpc: Rpc, own: Ids, foreign: Ids, wrong: list[Position], absent: Ids | None = None
) -> list[str]:
    """Where the answer to what is foreign in these places differs from that to ids of nothing, or is not missing."""
    absent = absent or nothing(wrong)
    got = await asker.everywhere(rpc, {**own, **{position: foreign[position] for position in wrong}})
    expected = await asker.everywhere(rpc, {**own, **{position: absent[position] for position in wrong}})
    # What only filters may find nothing instead.
    filters = rpc.filters and all(position.optional for position in wrong)
    return [
        f"{rpc} with another's {', '.join(map(str, wrong))}: {one}\nwith that of nothing: {other}"
        for one, other in zip(got, expected, strict=True)
        if one != other or not (one.missing or (filters and one.status in ("OK", "200")))
    ]


async def test_everything_of_another_user_is_answered_like_what_is_missing(owner: Person, stranger: Person) -> None:
    before = await owner.possessions(), await stranger.possessions()
    found = []
    for rpc in PUBLIC:
        own, foreign = stranger.estate.ids(rpc), owner.estate.ids(rpc)
        for wrong in trials(rpc.positions):
            found += await betrayals(stranger, rpc, own, foreign, wrong)
    assert not found, "\n".join(found)
    assert (await owner.possessions(), await stranger.possessions()) == before


async def test_what_ones_own_other_project_holds_is_missing_here(owner: Person) -> None:
    before = await owner.possessions()
    found = []
    for rpc in PUBLIC:
        here, there = owner.estate.ids(rpc), owner.other.ids(rpc)
        for wrong in trials([position for position in rpc.positions if position.resource != "project"]):
            found += await betrayals(owner, rpc, here, there, wrong)
    assert not found, "\n".join(found)
    assert await owner.possessions() == before


async def test_agent_that_another_project_has_by_name_is_missing(owner: Person, stranger: Person) -> None:
    secret = {"name": f"Secretary {uuid.uuid4().hex}"}
    await answer(owner.api.http.post(f"{owner.other.chat.project_path}/agents", json=secret), 201)
    found = []
    for asker, rpc in itertools.product((owner, stranger), PUBLIC):
        named = [position for position in rpc.positions if position.takes_names]
        for position in named:
            foreign, absent = {position: secret["name"]}, {position: f"Nobody {uuid.uuid4().hex}"}
            found += await betrayals(asker, rpc, asker.estate.ids(rpc), foreign, [position], absent)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("malformed", ["1", "not-a-uuid", "' OR 1=1", "a" * 300, "a\0b"], ids=repr)
async def test_id_that_is_no_uuid_is_missing_too(owner: Person, malformed: str) -> None:
    found = []
    for rpc in PUBLIC:
        own = owner.estate.ids(rpc)
        for position in rpc.positions:
            if not position.optional:
                got = await owner.grpc(rpc, {**own, position: malformed})
                found += [] if got.missing else [f"{rpc} {position}: {got}"]
    assert not found, "\n".join(found)


async def test_ids_are_the_same_in_upper_case(owner: Person) -> None:
    found = []
    for rpc in PUBLIC:
        if rpc.reads and not rpc.descriptor.server_streaming:
            ids = owner.estate.ids(rpc)
            got = await owner.everywhere(rpc, {position: value.upper() for position, value in ids.items()})
            expected = await owner.everywhere(rpc, ids)
            assert all(one.status in ("OK", "200") for one in expected), (str(rpc), expected)
            found += [] if got == expected else [f"{rpc}: {got} is not {expected}"]
    assert not found, "\n".join(found)


async def test_page_token_opens_no_list_of_another(owner: Person, stranger: Person) -> None:
    found = []
    for rpc in PUBLIC:
        if "page_token" not in rpc.descriptor.input_type.fields_by_name:
            continue
        ids = {position: value for position, value in owner.estate.ids(rpc).items() if not position.optional}
        token = await next_page(owner, rpc, ids)
        assert (await owner.grpc(rpc, ids, page_token=token)).status == "OK"
        others = [(stranger, stranger.estate.ids(rpc))]
        if rpc.positions:
            others.append((owner, owner.other.ids(rpc)))
        for asker, elsewhere in others:
            got = await asker.grpc(rpc, elsewhere, page_token=token)
            found += [] if got.status == "OUT_OF_RANGE" else [f"{rpc}: {got}"]
    assert not found, "\n".join(found)


async def next_page(person: Person, rpc: Rpc, ids: Ids) -> str:
    """The token of the list's second page of one."""
    page: dict[str, Any] = json.loads((await person.grpc(rpc, ids, page_size="1")).text)
    assert page["nextPageToken"], f"{rpc}: the estate needs two of them"
    return str(page["nextPageToken"])


def made(answer: Answer) -> str:
    """The id of what a call made, or found again: a run goes on meanwhile."""
    [thing] = json.loads(answer.text).values()
    return str(thing["id"])


async def test_request_ids_of_two_users_do_not_meet(owner: Person, stranger: Person) -> None:
    tried = []
    for rpc in PUBLIC:
        key = rpc.takes("idempotency_key")
        if key is None or rpc.descriptor.server_streaming:
            continue
        request_id = {key: f"{rpc} {uuid.uuid4()}"}
        first = await owner.grpc(rpc, owner.estate.ids(rpc), **request_id)
        again = await owner.grpc(rpc, owner.estate.ids(rpc), **request_id)
        second = await stranger.grpc(rpc, stranger.estate.ids(rpc), **request_id)
        assert (first.status, second.status) == ("OK", "OK"), (str(rpc), first, second)
        assert made(again) == made(first)
        assert made(second) != made(first), f"{rpc}: the stranger got what the owner's request_id made"
        tried.append(str(rpc))
    assert len(tried) >= 4


async def test_service_in_anothers_name_gets_nothing_of_the_owner(suite: Suite, owner: Person) -> None:
    intruder = str(uuid.uuid4())
    token = await suite.service_token("orchestrator", intruder)
    before = await owner.possessions()
    secrets = [value for key, value in owner.estate.resources.items() if key != "task"]
    async with owner.estate.chat.watch() as watched:
        await watched.read()
        for rpc in EVERY:
            ids = owner.estate.ids(rpc)
            got = await ask_grpc(owner.channels[rpc.service], rpc, ids, token)
            leaked = [secret for secret in secrets if secret in got.text]
            assert not leaked, f"{rpc} in another's name: {got}"
            assert got.status in ("OK", "NOT_FOUND", "FAILED_PRECONDITION"), f"{rpc} in another's name: {got}"
        assert await owner.possessions() == before
        run = await owner.estate.chat.start("Still mine.")
        message = await watched.until("message_received", "run_cancelled", "stream_ended")
        assert (message["type"], message["run_id"]) == ("message_received", run["id"])
        await owner.estate.chat.run_after(run["id"])


async def test_users_cannot_call_what_is_internal(owner: Person) -> None:
    for rpc in INTERNAL:
        assert (await owner.grpc(rpc, owner.estate.ids(rpc))).status == "PERMISSION_DENIED", str(rpc)


async def test_every_rpc_and_route_wants_a_token(suite: Suite, owner: Person) -> None:
    async with signed_in(suite.url, "") as nobody:
        nobody.http.headers.pop("Authorization")
        for rpc in EVERY:
            ids = owner.estate.ids(rpc)
            got = await ask_grpc(owner.channels[rpc.service], rpc, ids, None)
            assert got.status == "UNAUTHENTICATED", str(rpc)
            for route in rpc.routes:
                assert (await ask_http(nobody.http, rpc, route, ids)).status == "401", f"{rpc} {route}"
