"""Replicas behind one address: called in turn, and done without."""

from contextlib import AsyncExitStack

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from codelab_client.channel import REPLICAS, connect


class Replica(health_pb2_grpc.HealthServicer):
    """A server that counts what it answers."""

    def __init__(self) -> None:
        self.answered = 0
        self.server = grpc.aio.server()
        health_pb2_grpc.add_HealthServicer_to_server(self, self.server)
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> health_pb2.HealthCheckResponse:
        """Count."""
        self.answered += 1
        return health_pb2.HealthCheckResponse()


async def test_replicas_are_called_in_turn_and_one_that_is_away_is_left_out() -> None:
    async with AsyncExitStack() as stack:
        replicas = [Replica(), Replica()]
        for replica in replicas:
            await replica.server.start()
            stack.push_async_callback(replica.server.stop, None)
        channel = connect(REPLICAS.join(replica.address for replica in replicas))
        stack.push_async_callback(channel.close)
        check = health_pb2_grpc.HealthStub(channel).Check
        # The first calls go to whichever was connected first.
        while not all(replica.answered for replica in replicas):
            await check(health_pb2.HealthCheckRequest(), timeout=30)
        await replicas[0].server.stop(None)
        before = replicas[1].answered
        for _ in range(10):
            await check(health_pb2.HealthCheckRequest(), timeout=30, wait_for_ready=True)
        assert replicas[1].answered == before + 10
