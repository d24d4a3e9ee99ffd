"""Calls to the other services: one channel each, a deadline on every call, a token for whom it is made.

Services of one process call each other directly; between processes, what streams goes through tunnels.
"""

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from services.runtime.auth import TokenMinter, current_caller
from services.runtime.calls.channel import reach
from services.runtime.calls.neighbours import Neighbours
from services.runtime.settings import SERVICES, Settings
from services.runtime.telemetry import current_traceparent

# A stream has no deadline of its own; its token must outlive the longest run.
STREAM_TOKEN_SECONDS = 24 * 3600


class Peers:
    """The other services, as `service` sees them. Owns the channels: `close` when done.

    Raise StartupError if the settings do not say where they are.
    """

    def __init__(self, service: str, settings: Settings, minter: TokenMinter) -> None:
        self._service = service
        self._addresses = {peer: settings.peer_address(peer) for peer in SERVICES}
        self._minter = minter
        self._neighbours = Neighbours()
        self._channels: dict[str, grpc.aio.Channel] = {}

    def channel(self, peer: str, *services: ServiceDescriptor) -> grpc.aio.Channel:
        """The channel to the service `peer`. `services` are those called over it: safe calls are repeated."""
        if peer not in self._channels:
            self._channels[peer] = reach(self._addresses[peer], self._neighbours, services)
        return self._channels[peer]

    def metadata(self, user_id: str, timeout: float | None) -> tuple[tuple[str, str], ...]:
        """Metadata for one call for the user: a service token that outlives it by no more than clock skew."""
        lifetime = STREAM_TOKEN_SECONDS if timeout is None else timeout
        token = self._minter.service_token(self._service, user_id, lifetime)
        return (
            ("authorization", f"Bearer {token}"),
            ("traceparent", current_traceparent()),
        )

    async def close(self) -> None:
        """Close every channel; calls under way are cancelled."""
        for channel in self._channels.values():
            await channel.close()


def callers_metadata() -> tuple[tuple[str, str], ...]:
    """Metadata for a call in the caller's own name: what they may not see, the callee will not show.

    Raise LookupError if a ticket is all that the caller has.
    """
    token = current_caller().token
    if token is None:
        raise LookupError("a ticket opens one door, and no other behind it")
    return (
        ("authorization", f"Bearer {token}"),
        ("traceparent", current_traceparent()),
    )


def timeout_within(context: grpc.aio.ServicerContext[object, object], at_most: float) -> float:
    """Seconds for a call that serves another: its own limit, and never longer than its caller waits."""
    remaining = context.time_remaining()
    return at_most if remaining is None else max(0.0, min(at_most, remaining))
