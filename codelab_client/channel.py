"""A gRPC channel whose defaults suit the services of CodeLab."""

import json
from collections.abc import Iterable
from functools import cache

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

# Below the servers' permitted ping interval a client is sent away with too_many_pings: see services.runtime.server.
KEEPALIVE_SECONDS = 30
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
TRANSPORT_BYTES = MAX_MESSAGE_BYTES + 128 * 1024
"""What the transport takes: room for what a tunnel says of a message that it carries."""
REPLICAS = "+"
"""Stands between the addresses of one service's replicas."""

_SAFE_TO_REPEAT = (MethodOptions.NO_SIDE_EFFECTS, MethodOptions.IDEMPOTENT)


def connect(
    address: str, services: Iterable[ServiceDescriptor] = (), options: Iterable[tuple[str, int | str]] = ()
) -> grpc.aio.Channel:
    """Return a channel to `address`; nothing connects before the first call.

    `address` is `host:port`, or any gRPC target, or those of a service's replicas, `10.0.0.1:9102+10.0.0.2:9102`: they
    are called in turn, and one that is away is left out. Replicas are named by their IPv4 addresses.

    Methods of `services` that their contract declares free of side effects or idempotent are tried up to four times
    while the server is UNAVAILABLE; no other call is ever repeated. Callers set the deadline of each call. `options`
    come before our own.
    """
    target = f"ipv4:{address.replace(REPLICAS, ',')}" if REPLICAS in address else address
    return grpc.aio.insecure_channel(target, options=[*options, *channel_options(services)])


def channel_options(
    services: Iterable[ServiceDescriptor] = (),
) -> list[tuple[str, int | str]]:
    """The options of `connect`, for channels that are made elsewhere."""
    return [
        ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
        # A proxy in the environment is for the way out, not for the way to one's own services.
        ("grpc.enable_http_proxy", 0),
        ("grpc.max_receive_message_length", TRANSPORT_BYTES),
        ("grpc.max_send_message_length", TRANSPORT_BYTES),
        # A restarted server is found again at once, not after gRPC's default of up to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.service_config", json.dumps(_service_config(services))),
    ]


def repeatable_methods(services: Iterable[ServiceDescriptor]) -> list[str]:
    """The `/package.Service/Method`s of these that may be called again without harm."""
    return [
        f"/{service.full_name}/{method.name}" for service in services for method in service.methods if _is_safe(method)
    ]


@cache
def safe_to_repeat(method: str | bytes) -> bool:
    """Whether `/package.Service/Method` may be called again without harm. False if the contract has no such method."""
    path = method.decode() if isinstance(method, bytes) else method
    service, _, name = path.removeprefix("/").partition("/")
    try:
        found = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    except KeyError:
        return False
    return _is_safe(found)


def _is_safe(method: MethodDescriptor) -> bool:
    return method.GetOptions().idempotency_level in _SAFE_TO_REPEAT


def _service_config(services: Iterable[ServiceDescriptor]) -> dict[str, object]:
    repeatable = [
        {"service": service, "method": method}
        for service, method in (path[1:].split("/") for path in repeatable_methods(services))
    ]
    config: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if repeatable:
        config["methodConfig"] = [
            {
                "name": repeatable,
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    return config
