"""Connections that are not used as their standard has it, or not fast enough."""

import asyncio
import json
import socket
from typing import Any

import httpx
import pytest
import structlog

from gateway import connections, transcoding
from tests.e2e.polling import eventually
from tests.e2e.wire import Response, parsed
from tests.gateway.conftest import Gateway
from tests.gateway.garden import Garden

PLANT = "/garden/b/plants/p"


class Wire:
    """A connection to the gateway. It is closed with its test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
        self.reader = reader
        self.writer = writer
        self.token = token

    def post(self, body: bytes, *headers: str) -> bytes:
        """A request that waters a plant, with `headers` saying how long its body is."""
        lines = [f"POST {PLANT}:water HTTP/1.1", "Host: x", f"Authorization: {self.token}", *headers]
        return "\r\n".join([*lines, "Content-Type: application/json", "", ""]).encode() + body

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def rest(self) -> bytes:
        """All that comes until the gateway ends the connection."""
        async with asyncio.timeout(30):
            return await self.reader.read()

    async def refusal(self) -> Response:
        return parsed(await self.rest())


@pytest.fixture
async def wire(client: httpx.AsyncClient) -> Any:
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    yield Wire(reader, writer, client.headers["authorization"])
    writer.close()


def reason(response: Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["connection"] == "close"
    assert response.json["trace_id"] == response.headers["x-trace-id"]
    return response.status, response.json["reason"]


@pytest.mark.parametrize("data", [b"G", b"GET /my HTTP/1.1\r\nHost: x", b"GET /my HTTP/1.1\r\nHost: x\r\n"])
async def test_head_that_does_not_arrive_is_given_up(wire: Wire, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.05)
    await wire.send(data)
    assert reason(await wire.refusal()) == (408, "HEAD_TOO_SLOW")


async def test_head_that_comes_in_drops_has_no_more_time(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.1)
    answer = asyncio.create_task(wire.refusal())
    await wire.send(b"GET /my HTTP/1.1\r\n")
    while not answer.done():
        await wire.send(b"X: y\r\n")
        await asyncio.sleep(0.01)
    assert reason(await answer) == (408, "HEAD_TOO_SLOW")


async def test_body_that_comes_in_drops_has_no_more_time(
    wire: Wire, garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcoding, "BODY_SECONDS", 0.1)
    answer = asyncio.create_task(wire.refusal())
    await wire.send(wire.post(b"", "Transfer-Encoding: chunked"))
    while not answer.done():
        await wire.send(b"1\r\n \r\n")
        await asyncio.sleep(0.01)
    assert reason(await answer) == (408, "BODY_TOO_SLOW")
    assert garden.requests == []


async def test_deadline_of_a_head_ends_with_it(wire: Wire, garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.8)
    whole = wire.post(b"{}", "Content-Length: 2")
    for _ in range(2):
        await wire.send(whole[:40])
        await asyncio.sleep(0)
        await wire.send(whole[40:])
        async with asyncio.timeout(30):
            assert (await wire.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            await wire.reader.readuntil(b"}")
        # Whoever keeps a connection may take their time before they ask again.
        await asyncio.sleep(0.9)
    assert len(garden.requests) == 2


async def test_connection_that_says_nothing_is_closed_without_a_word(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.server._server.config, "timeout_keep_alive", 0.05)  # type: ignore[attr-defined]
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    async with asyncio.timeout(30):
        assert await reader.read() == b""
    writer.close()


async def test_client_that_vanishes_without_a_word_is_missed_by_the_kernel(
    wire: Wire, client: httpx.AsyncClient
) -> None:
    await wire.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    await wire.reader.readuntil(b"\r\n\r\n")
    here = wire.writer.get_extra_info("sockname")
    [connection] = [
        each.transport.get_extra_info("socket")
        for each in client.server._server.server_state.connections  # type: ignore[attr-defined]
        if each.transport.get_extra_info("peername") == here
    ]

    def option(name: int) -> int:
        value: int = connection.getsockopt(socket.IPPROTO_TCP, name)
        return value

    assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    # Asked for the first time when it has been quiet for half the time, and then often enough to be sure by its end.
    assert option(socket.TCP_KEEPIDLE) + 3 * option(socket.TCP_KEEPINTVL) == connections.ABSENT_SECONDS
    # What was sent to it, as heartbeats are, waits no longer: the kernel's own patience is a quarter of an hour.
    assert option(socket.TCP_USER_TIMEOUT) == connections.ABSENT_SECONDS * 1000


async def test_rubbish_after_a_request_does_not_take_its_answer(wire: Wire, garden: Garden) -> None:
    await wire.send(wire.post(b"{}rubbish", "Content-Length: 2") + b"\r\n\r\n")
    answer = parsed(await wire.rest())
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert len(garden.requests) == 1


async def test_rubbish_behind_requests_in_line_takes_none_of_their_answers(wire: Wire, garden: Garden) -> None:
    await wire.send(wire.post(b"{}", "Content-Length: 2") * 3 + b"rubbish\r\n\r\n")
    assert (await wire.rest()).count(b"HTTP/1.1 200 OK") == 3
    assert len(garden.requests) == 3


async def test_next_request_may_begin_in_the_packet_of_a_long_body(wire: Wire, garden: Garden) -> None:
    spaces = b"{" + b" " * 100_000 + b"}"
    both = wire.post(spaces, f"Content-Length: {len(spaces)}") + wire.post(
        b"{}", "Content-Length: 2", "Connection: close"
    )
    for start in range(0, len(both), len(both) - 100):
        await wire.send(both[start : start + len(both) - 100])
    assert (await wire.rest()).count(b"HTTP/1.1 200 OK") == 2
    assert len(garden.requests) == 2


async def test_rubbish_in_a_body_ends_its_request(wire: Wire, garden: Garden) -> None:
    await wire.send(wire.post(b"2\r\n{}\r\n", "Transfer-Encoding: chunked"))
    await wire.send(b"rubbish\r\n")
    assert reason(await wire.refusal()) == (400, "MALFORMED_REQUEST")
    assert garden.requests == []


async def test_stream_ends_with_the_rubbish_that_follows_its_request_unharmed(wire: Wire, garden: Garden) -> None:
    go_on = asyncio.Event()

    async def events(*_: Any) -> Any:
        async def two() -> Any:
            for text in ("first", "second"):
                yield garden.of("WatchBedResponse", event={"grown": {"text": text}})
                await go_on.wait()

        return two()

    garden.on("WatchBed", events)
    await wire.send(f"GET /garden/b/events HTTP/1.1\r\nHost: x\r\nAuthorization: {wire.token}\r\n\r\n".encode())
    async with asyncio.timeout(30):
        begun = await wire.reader.readuntil(b"first")
        await wire.send(b"rubbish\r\n\r\n")
        go_on.set()
        rest = await wire.rest()
    assert b"HTTP/1.1 200 OK" in begun
    assert b"second" in rest
    assert b"HTTP/1.1" not in rest


async def test_request_that_breaks_off_in_line_is_refused_in_its_turn(
    wire: Wire, garden: Garden, caplog: pytest.LogCaptureFixture
) -> None:
    async def events(*_: Any) -> Any:
        async def one() -> Any:
            yield garden.of("WatchBedResponse", event={"grown": {"text": "x"}})

        return one()

    garden.on("WatchBed", events)
    stream = f"GET /garden/b/events HTTP/1.1\r\nHost: x\r\nAuthorization: {wire.token}\r\n\r\n".encode()
    await wire.send(stream * 2 + wire.post(b"2\r\n{}\r\nrubbish\r\n", "Transfer-Encoding: chunked"))
    *streams, refusal = (await wire.rest()).split(b"\r\n0\r\n\r\n")
    assert [each.startswith(b"HTTP/1.1 200 OK") and b"grown" in each for each in streams] == [True, True]
    assert reason(parsed(refusal)) == (400, "MALFORMED_REQUEST")
    assert [request.DESCRIPTOR.name for request in garden.requests] == ["WatchBedRequest"] * 2
    assert "Exception in ASGI application" not in caplog.text


async def test_silent_stream_with_a_broken_request_behind_it_ends_with_its_client(wire: Wire, garden: Garden) -> None:
    async def events(*_: Any) -> Any:
        async def once() -> Any:
            yield garden.of("WatchBedResponse", event={"grown": {"text": "x"}})
            await asyncio.Event().wait()

        return once()

    garden.on("WatchBed", events)
    await wire.send(f"GET /garden/b/events HTTP/1.1\r\nHost: x\r\nAuthorization: {wire.token}\r\n\r\n".encode())
    async with asyncio.timeout(30):
        await wire.reader.readuntil(b"grown")
        # By now the stream waits to hear of its client, and asks for nothing more to be read.
        await wire.send(wire.post(b"rubbish\r\n", "Transfer-Encoding: chunked"))
        wire.writer.close()
        await eventually(lambda: garden.cancelled == 1)


async def test_stream_with_a_request_in_line_behind_it_ends_with_its_client(wire: Wire, garden: Garden) -> None:
    async def events(*_: Any) -> Any:
        async def without_end() -> Any:
            while True:
                yield garden.of("WatchBedResponse", event={"grown": {"text": "x"}})
                await asyncio.sleep(0.02)

        return without_end()

    garden.on("WatchBed", events)
    await wire.send(f"GET /garden/b/events HTTP/1.1\r\nHost: x\r\nAuthorization: {wire.token}\r\n\r\n".encode() * 2)
    async with asyncio.timeout(30):
        await wire.reader.readuntil(b"grown")
        wire.writer.transport.abort()
        await eventually(lambda: garden.cancelled == 1)


@pytest.mark.parametrize("reads", [False, True])
async def test_client_that_takes_nothing_is_cut_off_and_a_slow_one_is_not(
    wire: Wire, garden: Garden, monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    monkeypatch.setattr(connections, "STALLED_SECONDS", 1.0)

    async def events(*_: Any) -> Any:
        async def one() -> Any:
            # More than the buffers of sockets hold, and than the gateway waits for at once.
            yield garden.of("WatchBedResponse", event={"grown": {"text": "x" * 15_000_000}})

        return one()

    garden.on("WatchBed", events)
    with structlog.testing.capture_logs() as lines:
        await wire.send(f"GET /garden/b/events HTTP/1.1\r\nHost: x\r\nAuthorization: {wire.token}\r\n\r\n".encode())
        async with asyncio.timeout(30):
            if reads:
                for _ in range(4):
                    await asyncio.sleep(0.4)
                    await wire.reader.readexactly(2_000_000)
                await wire.reader.readexactly(7_000_000)
            else:
                await eventually(lambda: any(each["event"].endswith("cut off") for each in lines))
    assert any(each["event"].endswith("cut off") for each in lines) is not reads


async def test_client_that_takes_nothing_does_not_keep_a_gateway_that_stops(
    garden: Garden, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connections, "_LINGER_SECONDS", 0.1)

    async def events(*_: Any) -> Any:
        async def one() -> Any:
            yield garden.of("WatchBedResponse", event={"grown": {"text": "x" * 15_000_000}})

        return one()

    garden.on("WatchBed", events)
    async with gateway(garden.address) as client:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        token = client.headers["authorization"]
        writer.write(f"GET /garden/b/events HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())
        async with asyncio.timeout(20):
            await reader.readuntil(b"grown")
            await client.server.stop(30)  # type: ignore[attr-defined]
    writer.close()
    assert "Exception in ASGI application" not in caplog.text


async def test_refused_client_may_go_on_sending_and_still_reads_why(wire: Wire) -> None:
    await wire.send(b"GET /" + b"a" * 2_000_000)
    assert reason(await wire.refusal()) == (414, "TARGET_TOO_LONG")


async def test_longest_target_and_head_are_served(wire: Wire, garden: Garden) -> None:
    target = f"/garden/b/plants?page_token={'t' * 16_000}"
    await wire.send(
        f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {wire.token}\r\n"
        f"X: {'y' * 60_000}\r\n\r\n".encode()
    )
    assert parsed(await wire.rest()).status in (200, 400)


async def test_refused_connection_is_logged_without_what_it_sent(wire: Wire) -> None:
    with structlog.testing.capture_logs() as lines:
        await wire.send(b"s3cret \x00\r\n\r\n")
        refused = await wire.refusal()
        [line] = await eventually(lambda: [line for line in lines if line["event"] == "connection refused"])
    assert (line["status"], line["reason"]) == (400, "MALFORMED_REQUEST")
    assert line["trace_id"] == refused.json["trace_id"]
    assert "s3cret" not in json.dumps(line)


OFFER = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")


@pytest.mark.parametrize("length", ["Content-Length: 2", "Transfer-Encoding: chunked"])
async def test_request_that_offers_an_upgrade_keeps_its_body(wire: Wire, garden: Garden, length: str) -> None:
    body = b'{"litres":7}'
    framed = body if length.startswith("C") else b"c\r\n%s\r\n0\r\n\r\n" % body
    head = wire.post(b"", *OFFER, f"Content-Length: {len(body)}" if framed is body else length)
    last = wire.post(b"{}", "Content-Length: 2", "Connection: close")
    # In one packet, and in two.
    await wire.send(head + framed + head)
    await wire.send(framed + last)
    assert (await wire.rest()).count(b"HTTP/1.1 200 OK") == 3
    assert [request.litres for request in garden.requests] == [7, 7, 0]


async def test_body_behind_an_offered_upgrade_is_no_request(wire: Wire, garden: Garden) -> None:
    smuggled = wire.post(b"{}", "Content-Length: 2")
    await wire.send(wire.post(b"", *OFFER, f"Content-Length: {len(smuggled)}"))
    await wire.send(smuggled)
    await wire.send(wire.post(b"{}", "Content-Length: 2", "Connection: close"))
    answers = await wire.rest()
    assert (answers.count(b"HTTP/1.1 "), answers.count(b"HTTP/1.1 400 "), answers.count(b"HTTP/1.1 200 ")) == (2, 1, 1)
    assert len(garden.requests) == 1


async def test_trailer_is_no_header(wire: Wire, garden: Garden) -> None:
    anonymous = wire.post(b"", "Transfer-Encoding: chunked", "Connection: close")
    anonymous = anonymous.replace(f"Authorization: {wire.token}\r\n".encode(), b"")
    await wire.send(anonymous + b"2\r\n{}\r\n0\r\nAuthorization: %s\r\n\r\n" % wire.token.encode())
    assert parsed(await wire.rest()).status == 401
    assert garden.requests == []


async def test_trailer_has_a_limit_also_when_the_answer_is_given(wire: Wire) -> None:
    await wire.send(b"POST /garden/b/plants/p:water HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ")
    async with asyncio.timeout(30):
        assert (await wire.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 401 ")
    for _ in range(4):
        await wire.send(b"y" * 30_000)
    assert b"HTTP/1.1 431 " in await wire.rest()


async def test_rest_of_a_body_that_nobody_reads_is_not_waited_for(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BODY_SECONDS", 0.05)
    await wire.send(b"POST /garden/b/plants/p:water HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
    async with asyncio.timeout(30):
        await wire.reader.readuntil(b"\r\n\r\n")
    await wire.send(b"{")
    await wire.rest()


@pytest.mark.parametrize(
    "head",
    [
        "GET /health HTTP/1.1",
        "GET /health HTTP/1.1\r\nHost: x\r\nHost: x",
        "GET /health HTTP/1.0\r\nHost: x\r\nHost: y",
        "GET /health",
        "CONNECT x:1 HTTP/1.1\r\nHost: x:1",
    ],
)
async def test_request_must_say_its_version_and_one_host(wire: Wire, head: str) -> None:
    await wire.send(f"{head}\r\n\r\n".encode())
    assert reason(await wire.refusal()) == (400, "MALFORMED_REQUEST")
