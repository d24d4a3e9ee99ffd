"""Tickets: what they open, and that nothing else opens with them."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from codelab.streams.v1 import event_service_pb2

from codelab_client.errors import ApiError
from services.runtime.claims import STREAM_AUDIENCE
from services.runtime.ids import new_id
from tests.streams.world import ANN, BOB, World, event, read
from tests.tokens import forged, service, signed

# No header at all: gRPC takes none for a missing argument.
BARE = (("x-nothing", "x"),)


async def ticket_of(world: World, metadata: Any = None, **ids: str) -> event_service_pb2.CreateTicketResponse:
    request = event_service_pb2.CreateTicketRequest(
        **{"project_id": world.project_id, "session_id": world.session_id, **ids}
    )
    made: event_service_pb2.CreateTicketResponse = await world.events.CreateTicket(
        request, metadata=metadata or world.user(), timeout=30
    )
    return made


async def refusal(call: Any) -> ApiError:
    """How the call ends, which must not bring anything."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (call.read() if hasattr(call, "read") else call)
    return ApiError.of(caught.value)


async def test_a_ticket_opens_its_sessions_stream_again_and_again_in_any_case(world: World) -> None:
    made = await ticket_of(world, project_id=world.project_id.upper())
    assert 595 < made.expires_at.seconds - time.time() <= 600
    async with world.publishing() as publishing:
        first = await publishing.send(event("agent_started"), 1)
        second = await publishing.send(event("agent_started"), 2)
    async with world.watching(BARE, ticket=made.ticket, after="start") as watch:
        assert (await read(watch)).id == first
    async with world.watching(BARE, ticket=made.ticket, after=first, session_id=world.session_id.upper()) as watch:
        assert (await read(watch)).id == second


async def test_a_ticket_lives_no_longer_than_its_token_and_its_stream_as_long(world: World) -> None:
    short = await ticket_of(world, world.user(lifetime_seconds=60))
    assert 55 < short.expires_at.seconds - time.time() <= 60
    made = await ticket_of(world, world.user(lifetime_seconds=1500))
    async with world.watching(BARE, ticket=made.ticket) as watch:
        # Past the ticket's end, and short of the token's.
        world.clock.ahead += 1400
        assert (await read(watch)).WhichOneof("payload") == "heartbeat"
        world.clock.ahead += 110
        while not (frame := await read(watch)).HasField("stream_ended"):
            assert frame.WhichOneof("payload") == "heartbeat"
        assert (frame.stream_ended.reason, frame.stream_ended.resumable) == ("token_expired", True)


async def test_a_service_may_make_one_for_its_user(world: World) -> None:
    made = await ticket_of(world, world.internal())
    async with world.watching(BARE, ticket=made.ticket):
        pass


async def test_who_is_not_known_to_own_the_session_is_asked_about_in_the_users_name(world: World) -> None:
    made = await ticket_of(world)
    # Ten minutes are less than what is known lives; only a restart forgets it.
    world.clock.ahead += 4000
    claims = {"aud": STREAM_AUDIENCE, "sub": ANN, "token_exp": time.time() + 8000}
    late = signed(world.keys.service_secret, **claims, project=world.project_id, session=world.session_id)
    async with world.watching(BARE, ticket=late):
        pass
    token = world.orchestrator.asked[-1].removeprefix("Bearer ")
    assert token not in (made.ticket, late)
    assert (await world.verifier.verify(f"Bearer {token}")).user_id == ANN


async def test_a_ticket_is_for_who_owns_the_session(world: World) -> None:
    await ticket_of(world)
    # The orchestrator of these tests does not look at the user.
    world.orchestrator.sessions.clear()
    for made in (ticket_of(world, world.user(BOB)), ticket_of(world, session_id=new_id())):
        error = await refusal(made)
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")


@dataclass(frozen=True)
class Forged:
    """What is no ticket for Ann's session, and the reason that it is refused with."""

    make: Callable[[World], str]
    reason: str = "TOKEN_INVALID"


def changed(**claims: Any) -> Callable[[World], str]:
    """A ticket that would be good but for these claims."""
    return lambda world: signed(world.keys.service_secret, **{**good(world), **claims})


def good(world: World) -> dict[str, Any]:
    ids = {"project": world.project_id, "session": world.session_id}
    return {"aud": STREAM_AUDIENCE, "sub": ANN, "token_exp": time.time() + 3600, **ids}


FORGED: dict[str, Forged] = {
    "empty": Forged(lambda world: "", "TOKEN_MISSING"),
    "no JWT": Forged(lambda world: "t1cket"),
    "too long": Forged(lambda world: "x" * 10_000),
    "no text of a token": Forged(lambda world: "𝄞.é.\x00"),
    "expired": Forged(changed(iat=time.time() - 100, exp=time.time() - 1), "TOKEN_EXPIRED"),
    "another session": Forged(changed(session=str(uuid.uuid4()))),
    "no session": Forged(changed(session=...)),
    "a list of sessions": Forged(changed(session=["x"])),
    "another project": Forged(changed(project=str(uuid.uuid4()))),
    "no user": Forged(changed(sub=...)),
    "no end": Forged(changed(exp=...)),
    "no end of its token": Forged(changed(token_exp=...)),
    "an end of its token that is words": Forged(changed(token_exp="never")),
    "the services' audience": Forged(lambda world: service(world.keys.service_secret, **{**good(world), "aud": ...})),
    "a service's token": Forged(lambda world: service(world.keys.service_secret, sub=ANN)),
    "no audience": Forged(changed(aud=...)),
    "two audiences": Forged(changed(aud=[STREAM_AUDIENCE, "x"])),
    "the user's own token": Forged(lambda world: world.minter.user_token(ANN, 60)),
    "signed with the users' key": Forged(lambda world: signed(world.keys.user_secret, **good(world))),
    "signed with another key": Forged(lambda world: signed("x" * 32, **good(world))),
    "alg none": Forged(lambda world: forged({"alg": "none"}, {**good(world), "iat": 0, "exp": time.time() + 60})),
    "HS512": Forged(
        lambda world: forged(
            {"alg": "HS512"},
            {**good(world), "iat": 0, "exp": time.time() + 60},
            world.keys.service_secret.encode(),
            "HS512",
        )
    ),
}


@pytest.mark.parametrize("name", FORGED)
async def test_what_is_no_ticket_for_a_session_is_a_bad_token_whether_it_exists_or_not(world: World, name: str) -> None:
    async with world.watching(BARE, ticket=changed()(world)):
        pass  # What the forgeries are made of is good.
    case = FORGED[name]
    ticket = case.make(world)
    errors = [
        await refusal(world.subscribe(BARE, ticket=ticket)),
        await refusal(world.subscribe(BARE, ticket=ticket, session_id=new_id())),
        await refusal(world.subscribe(BARE, ticket=ticket, project_id="")),
    ]
    assert {(error.code, error.reason) for error in errors} == {(grpc.StatusCode.UNAUTHENTICATED, case.reason)}
    assert len({error.detail for error in errors}) == 1
    assert not ticket or ticket not in errors[0].detail


async def test_a_ticket_is_no_token_and_opens_no_other_rpc(world: World) -> None:
    made = (await ticket_of(world)).ticket
    bearer = (("authorization", f"Bearer {made}"),)
    for call in (world.subscribe(bearer), ticket_of(world, bearer), ticket_of(world, BARE)):
        assert (await refusal(call)).code is grpc.StatusCode.UNAUTHENTICATED
    other = await refusal(world.subscribe(BARE, ticket=made, session_id=new_id()))
    assert other.reason == "TOKEN_INVALID"


async def test_where_both_are_sent_the_header_alone_counts(world: World) -> None:
    made = (await ticket_of(world)).ticket
    world.orchestrator.sessions.clear()
    async with world.watching(ticket="t1cket"):
        pass
    error = await refusal(world.subscribe((("authorization", "Bearer x"),), ticket=made))
    assert error.reason == "TOKEN_INVALID"
    assert (await refusal(world.subscribe(world.user(BOB), ticket=made))).reason == "SESSION_NOT_FOUND"
