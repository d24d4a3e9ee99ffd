"""Any OpenAI-compatible endpoint as a Model, by the `openai` client."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import structlog

from services.agents.errors import ModelRefused
from services.agents.models import CallsWanted, ModelRequest, Throttled, Usage
from services.agents.openai_chunks import PieceReader, usage_of
from services.agents.openai_client import OPENAI_URL, OpenAIClient, Pauses
from services.agents.openai_failures import failure_of
from services.agents.openai_messages import wire_message, wire_tools
from services.agents.openai_refusals import Refusals
from services.agents.turns import as_text
from services.runtime.settings import Settings

if TYPE_CHECKING:
    from openai import AsyncOpenAI, AsyncStream

log = structlog.get_logger()

# What some models refuse to be told, and answer without.
_DISPENSABLE = ("temperature", "response_format", "tools", "tool_choice")
# The answer is whole once it has a finish reason; nobody waits longer for its usage.
_USAGE_SECONDS = 2.0
_DECLINED = "the model, or a filter of its endpoint, refuses to answer this: put the request differently"


class _CalledUnasked(Exception):
    """The model said nothing, and called tools where it was told to call none."""


class OpenAIModel:
    """Chat completions of the endpoint at `base_url`. Owns its client: `close` when done."""

    canned = False

    def __init__(
        self,
        api_key: str,
        base_url: str,
        default_model: str,
        silence_seconds: float,
        retries: int,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = OpenAIClient(api_key, base_url, silence_seconds)
        self._pauses = Pauses(pause, jitter)
        self._default_model = default_model
        self._silence_seconds = silence_seconds
        self._retries = retries
        # Reasoning models have one temperature and refuse to be told another; not every server knows formats, or tools,
        # or a way to forbid them.
        self._refusals = Refusals(clock)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The endpoint that the settings name."""
        return cls(
            settings.openai_api_key,
            settings.openai_base_url,
            settings.openai_model,
            settings.model_timeout_seconds,
            settings.model_retries,
        )

    def warm(self) -> None:
        """Begin to load the client, so that the first message does not wait for it."""
        self._client.warm()

    async def close(self) -> None:
        """Close the client and its connections."""
        await self._client.close()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[str | CallsWanted | Usage | Throttled, None]:
        """See Model. A call that fails before it said anything is repeated as often as the settings permit."""
        model = request.model or self._default_model
        retries = calls = 0
        while True:
            said = False
            calls += 1
            parameters = self.parameters(request, model)
            try:
                async with aclosing(self._answer(parameters, request)) as pieces:
                    async for piece in pieces:
                        said = True
                        yield replace(piece, model_calls=calls) if isinstance(piece, Usage) else piece
                return
            except _CalledUnasked:
                self._refusals.add(model, "tool_choice")
                continue
            except Exception as error:
                failure = failure_of(error, model, said, self._silence_seconds)
                if failure is None:
                    raise
                log.warning("model call failed", model=model, call=calls, status=failure.status, code=failure.code)
                refused = failure.refused_parameter
                if refused == "tool_choice" and refused not in parameters:
                    refused = "tools"  # Some refuse the choice that they take when none is sent.
                if refused in _DISPENSABLE and refused in parameters:
                    self._refusals.add(model, refused)
                    continue
                if failure.throttled_seconds is not None:
                    yield Throttled(failure.throttled_seconds)
                if not failure.passing or retries == self._retries:
                    raise failure.error from None
            await self._pauses.before(retries, failure.retry_after)
            retries += 1

    async def _answer(
        self, parameters: dict[str, Any], request: ModelRequest
    ) -> AsyncGenerator[str | CallsWanted | Usage, None]:
        client = await self._client.opened()
        async with asyncio.timeout(self._silence_seconds):
            stream = await _request(client, parameters)
        try:
            reader, usage = PieceReader("tools" in parameters, request.may_be_silent), Usage()
            while not reader.full and (chunk := await self._next(stream, reader.finish_reason is not None)) is not None:
                usage = usage_of(chunk) or usage
                if piece := reader.read(chunk):
                    yield piece
            if reader.refused and request.answer_format is not None:
                raise ModelRefused(_DECLINED, model=parameters["model"])
            if rest := reader.end():
                yield rest
            if calls := reader.calls(call.id for message in request.messages for call in message.calls):
                if request.may_call:
                    yield CallsWanted(calls)
                elif reader.blank:
                    raise _CalledUnasked
            yield usage
        finally:
            # This also ends the request when the task is cancelled in mid-answer.
            await stream.close()

    async def _next(self, stream: "AsyncStream[object]", finished: bool) -> object:
        seconds = min(_USAGE_SECONDS, self._silence_seconds) if finished else self._silence_seconds
        try:
            async with asyncio.timeout(seconds):
                return await anext(stream, None)
        except Exception as error:
            if not finished:
                raise
            # The answer is whole, only its usage or its end is missing: that is no reason to lose it.
            log.info("model stream did not end well", error=type(error).__name__)
            return None

    def parameters(self, request: ModelRequest, model: str) -> dict[str, Any]:
        """What is sent to ask for the answer."""
        refused = self._refusals.of(model)
        # Who cannot be told to call nothing is told of nothing to call.
        tools = request.tools if request.may_call or "tool_choice" not in refused else ()
        with_tools = bool(tools) and "tools" not in refused
        parameters: dict[str, Any] = {
            "model": model,
            "messages": list(map(wire_message, request.messages if with_tools else as_text(request.messages))),
            "stream": True,
            "stream_options": {"include_usage": True},
            # OpenAI has renamed it and its newer models refuse the old name; the others know only that one.
            "max_completion_tokens" if self._client.base_url == OPENAI_URL else "max_tokens": request.max_tokens,
        }
        optional: dict[str, Any] = {"temperature": request.temperature}
        if request.answer_format is not None:
            described = {"name": request.answer_format.name, "schema": request.answer_format.schema, "strict": True}
            optional["response_format"] = {"type": "json_schema", "json_schema": described}
        if with_tools:
            optional["tools"] = wire_tools(tools)
            if not request.may_call:
                optional["tool_choice"] = "none"
        return parameters | {name: value for name, value in optional.items() if name not in refused}


async def _request(client: "AsyncOpenAI", parameters: dict[str, Any]) -> "AsyncStream[object]":
    """Ask for a streamed chat completion, whose chunks come as their JSON.

    The client's own method for it first walks through all messages by their types, and then makes objects of each chunk
    by theirs: with 50 messages the one cost a quarter of a direct call's CPU, with 20 chunks the other a quarter of the
    rest.
    """
    from openai import AsyncStream

    return await client.post(
        "/chat/completions", body=parameters, cast_to=object, stream=True, stream_cls=AsyncStream[object]
    )
