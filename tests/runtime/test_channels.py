"""Calls to other services: for whom, how long, and what their failures mean."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import jwt
import pytest
from codelab.agents.v1 import worker_space_service_pb2 as worker_spaces
from codelab.agents.v1.worker_space_service_pb2_grpc import WorkerSpaceServiceStub

from codelab_client import ApiError
from services.runtime.auth import Keys, TokenMinter
from services.runtime.channels import Peers, timeout_within
from services.runtime.errors import DeadlineExceeded, Unavailable
from services.runtime.ids import new_id
from services.runtime.settings import Settings
from services.runtime.status import from_rpc_error

KEYS = Keys(user_secret="u" * 32, service_secret="s" * 32)


class Context:
    """A call whose caller waits `remaining` seconds."""

    def __init__(self, remaining: float | None) -> None:
        self._remaining = remaining

    def time_remaining(self) -> float | None:
        return self._remaining


@pytest.mark.parametrize(("remaining", "expected"), [(None, 20.0), (30.0, 20.0), (3.0, 3.0), (0.0, 0.0), (-1.0, 0.0)])
def test_timeout_is_never_longer_than_the_caller_waits(remaining: float | None, expected: float) -> None:
    assert timeout_within(Context(remaining), 20.0) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(("timeout", "least", "most"), [(0.0, 0, 11), (5.0, 5, 16), (None, 3600, 86411)])
def test_token_lives_as_long_as_its_call(tmp_path: Path, timeout: float | None, least: int, most: int) -> None:
    peers = Peers("projects", Settings.load({"CODELAB_DATA_DIR": str(tmp_path)}), TokenMinter(KEYS))
    token = dict(peers.metadata("user", timeout))["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["sub"], claims["act"]) == ("user", "projects")
    assert least <= claims["exp"] - time.time() <= most


async def test_peer_out_of_reach_is_named_without_a_sockets_text(tmp_path: Path) -> None:
    # Nothing listens on the discard port.
    backends = {"CODELAB_BACKENDS": "127.0.0.1:9,127.0.0.1:9,127.0.0.1:9,127.0.0.1:9"}
    peers = Peers("projects", Settings.load({"CODELAB_DATA_DIR": str(tmp_path), **backends}), TokenMinter(KEYS))
    stub = WorkerSpaceServiceStub(peers.channel("agents"))
    for timeout, wait, kind in ((5.0, False, Unavailable), (0.2, True, DeadlineExceeded)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.CreateWorkerSpace(
                worker_spaces.CreateWorkerSpaceRequest(project_id=new_id()), timeout=timeout, wait_for_ready=wait
            )
        error = from_rpc_error(caught.value, "agents")
        assert type(error) is kind
        assert "agents" in error.detail
        assert "127.0.0.1" not in error.detail
    await peers.close()


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE])
def test_peer_that_dies_in_mid_call_is_out_of_reach(code: grpc.StatusCode) -> None:
    died = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "Internal error from Core")
    error = from_rpc_error(died, "agents")
    assert type(error) is Unavailable
    assert "Core" not in error.detail


async def test_channel_to_a_peer_is_one() -> None:
    peers = Peers("projects", Settings.load({}), TokenMinter(KEYS))
    assert peers.channel("agents") is peers.channel("agents") is not peers.channel("streams")
    await peers.close()


def test_api_error_passes_through_context_managers() -> None:
    @contextmanager
    def nothing() -> Iterator[None]:
        yield

    with pytest.raises(ApiError, match="gone"), nothing():
        raise ApiError(grpc.StatusCode.NOT_FOUND, "gone")
