"""Serves the routes that descriptors define: token, input, call, answer."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import problems
from gateway.contract import Binding
from gateway.edge import Exchange, send_body, send_empty
from gateway.json_text import MalformedJson, parse
from gateway.negotiation import BODY_SECONDS, MAX_BODY_BYTES, ClientGone, best_media_type, read_body, require_json
from gateway.routes import MalformedPath, Match
from gateway.site import Endpoint, Routes
from gateway.streaming import MEDIA_TYPES, OpenStreams, Stream
from gateway.transcode import BadInput, NoSuchResource
from services.runtime.auth import TokenVerifier
from services.runtime.claims import TokenInvalid
from services.runtime.errors import CodelabError

JSON = "application/json"
# A send waits up to 120 s in its service, which then says so itself; the gateway's limit lies beyond.
CALL_SECONDS = 130.0
READ_SECONDS = 30.0
# Most calls are over before watching for their client's end is worth its cost.
_PATIENCE_SECONDS = 0.5

_JSON_HEADERS = [(b"content-type", JSON.encode()), (b"cache-control", b"no-store")]
_WANTED = frozenset(
    {
        b"accept",
        b"content-type",
        b"content-length",
        b"content-encoding",
        b"transfer-encoding",
        b"idempotency-key",
        b"last-event-id",
    }
)
# Sent more than once these are one list.
_LISTS = frozenset({b"accept", b"transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Transcoding:
    """An ASGI application in front of another: what no route of ours knows is the other's."""

    app: ASGIApp
    routes: Callable[[], Routes]
    verifier: TokenVerifier
    streams: OpenStreams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            found = self.routes().table.match(scope["method"], _raw_path(scope))
        except (MalformedPath, UnicodeDecodeError):
            raise problems.malformed("MALFORMED_ENCODING", "the path is not percent-encoded UTF-8") from None
        if found is None:
            await self.app(scope, receive, send)
        elif isinstance(found, Match):
            await self._serve(found, scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await send_empty(send, 204, [(b"allow", ", ".join(found.allowed).encode())])
        else:
            raise problems.wrong_method(found.allowed)

    async def _serve(self, match: Match[Endpoint], scope: Scope, receive: Receive, send: Send) -> None:
        endpoint, exchange = match.target, Exchange.of(scope)
        binding, transcoder = endpoint.binding, endpoint.transcoder
        query = scope["query_string"].decode("latin-1")
        exchange.route = binding.template.text
        exchange.query = transcoder.redacted(query)
        headers = _headers(scope)
        authorization = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
        token = None
        # A ticket in the query stands in for the header; the service that made it is the one that can judge it.
        if authorization or not transcoder.has_ticket(query):
            try:
                caller = await self.verifier.verify(*authorization)
                # Services speak gRPC: what leaks of their tokens, or even their key, opens nothing from outside.
                if caller.service is not None:
                    raise TokenInvalid("service tokens are for gRPC: send a user's token")
                token = caller.token
            except CodelabError as error:
                raise problems.from_domain(error) from None
        offered = MEDIA_TYPES if binding.rpc.streaming else (JSON,)
        media_type = best_media_type(headers.get(b"accept"), offered)
        if media_type is None:
            raise problems.not_acceptable(offered)
        body = await _json_body(binding, headers, receive)
        try:
            request = transcoder.request(
                match.variables,
                query,
                body,
                _header_text(headers, b"idempotency-key"),
                _header_text(headers, b"last-event-id"),
            )
        except BadInput as error:
            raise problems.from_faults(error.faults) from None
        except NoSuchResource:
            raise problems.no_resource() from None
        if endpoint.backend is None:
            raise problems.unreachable()
        metadata = [("traceparent", exchange.traceparent)]
        if token is not None:
            metadata.append(("authorization", f"Bearer {token}"))
        call = endpoint.backend.call(binding.rpc)
        if binding.rpc.streaming:
            stream = Stream(call(request, metadata=metadata), endpoint, media_type, exchange)
            await self.streams.serve(stream, scope, receive, send)
        else:
            limit = READ_SECONDS if binding.rpc.reads_only else CALL_SECONDS
            answer = call(request, metadata=metadata, timeout=limit)
            response = await _response_of(answer, endpoint, receive)
            if binding.rpc.success_status == 204:
                await send_empty(send, 204, [])
            else:
                await send_body(send, binding.rpc.success_status, _JSON_HEADERS, transcoder.response(response))


async def _response_of(call: Any, endpoint: Endpoint, receive: Receive) -> Any:
    """The response of a unary call. Raise the Problem it ends with, or ClientGone if nobody waits for it any more."""
    rpc = endpoint.binding.rpc
    try:
        if rpc.reads_only:
            return await call
        return await _watched(call, receive)
    except grpc.aio.AioRpcError as error:
        raise problems.from_rpc(error, rpc.name, endpoint.binding.body) from None


async def _watched(call: Any, receive: Receive) -> Any:
    """Await a call that may take minutes: a client that goes away meanwhile ends it."""
    response = asyncio.ensure_future(call)
    await asyncio.wait({response}, timeout=_PATIENCE_SECONDS)
    if response.done():
        return response.result()
    gone = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({response, gone}, return_when=asyncio.FIRST_COMPLETED)
        if response.done():
            return response.result()
        raise ClientGone
    finally:
        gone.cancel()
        call.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _json_body(binding: Binding, headers: dict[bytes, str], receive: Receive) -> Any:
    """The parsed body; None where the binding takes none. An empty one counts as `{}`, whatever its content type."""
    if not binding.body:
        return None
    length = headers.get(b"content-length")
    if length == "0" or (length is None and b"transfer-encoding" not in headers):
        return {}
    content_type, encoding = headers.get(b"content-type"), headers.get(b"content-encoding")
    if headers.get(b"transfer-encoding", "chunked").strip().lower() != "chunked":
        raise problems.unsupported_media_type("the body must not be compressed")
    if length is not None:
        require_json(content_type, encoding)
    body = await read_body(receive, length, MAX_BODY_BYTES, BODY_SECONDS)
    if body:
        require_json(content_type, encoding)
    try:
        return parse(body)
    except MalformedJson as error:
        raise problems.malformed(error.reason, error.detail, error.field) from None


def _raw_path(scope: Scope) -> str:
    """The path as it came, still percent-encoded: `scope["path"]` cannot tell a slash from an encoded one."""
    raw: bytes = scope["raw_path"]
    return raw.decode("utf-8")


def _headers(scope: Scope) -> dict[bytes, str]:
    """The headers that matter here. Raise the 400 Problem for one that comes twice and is no list."""
    headers: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in _WANTED:
            if name in headers and name not in _LISTS:
                raise problems.malformed("DUPLICATE_HEADER", f"the header {name.decode()} is sent more than once")
            text = value.decode("latin-1")
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return headers


def _header_text(headers: dict[bytes, str], name: bytes) -> str | None:
    """A header that becomes a string field: browsers send it as UTF-8."""
    value = headers.get(name)
    if value is None or value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        raise problems.malformed("MALFORMED_ENCODING", f"the header {name.decode()} is not UTF-8") from None
