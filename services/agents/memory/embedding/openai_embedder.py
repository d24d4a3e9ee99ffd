"""Any OpenAI-compatible endpoint as an Embedder, by the `openai` client."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Self

import structlog

from services.agents.errors import EmbeddingRefused, EmbeddingUnavailable
from services.agents.memory.embedding.openai_answer import vectors_in
from services.agents.memory.model import Vector
from services.agents.openai_client import OpenAIClient, Pauses
from services.agents.openai_failures import NO_QUOTA, Failure, Refusal, refusal_of
from services.runtime.settings import Settings

log = structlog.get_logger()

# Servers take from 32 texts (text-embeddings-inference) to 2,048 (OpenAI, of 300,000 tokens in all).
_BATCH_TEXTS = 32
_BATCH_BYTES = 200_000
# What OpenAI's models read is 8,191 tokens. As with prompts, three bytes are estimated to be one.
_MOST_BYTES = 24_000
# Every model reads as much.
_LEAST_BYTES = 750
# How endpoints refuse a text that is longer than their model reads.
_TOO_LONG = (400, 413, 422)
# OpenAI refuses a text of nothing.
_NOTHING = "(nothing)"


class OpenAIEmbedder:
    """Embeddings of the endpoint at `base_url`. Owns its client: `close` when done."""

    def __init__(
        self,
        api_key: str,
        base_url: str,
        model: str,
        silence_seconds: float,
        retries: int,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.model = model
        self._client = OpenAIClient(api_key, base_url, silence_seconds)
        self._pauses = Pauses(pause, jitter)
        self._silence_seconds = silence_seconds
        self._retries = retries
        # Of a text, in UTF-8. Less once the endpoint refused that much and took less.
        self._most_bytes = _MOST_BYTES

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The endpoint and the model that the settings name."""
        return cls(
            settings.openai_api_key,
            settings.openai_base_url,
            settings.embedding_model,
            settings.model_timeout_seconds,
            settings.model_retries,
        )

    def warm(self) -> None:
        """See Embedder."""
        self._client.warm()

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """See Embedder. A call that fails for load is repeated as often as the settings permit."""
        vectors: list[Vector] = []
        for batch in _batches([_beginning(text, self._most_bytes) for text in texts]):
            vectors += await self._embed(batch)
            if len(vectors[-1]) != len(vectors[0]):
                raise EmbeddingRefused(_unreadable(self.model), model=self.model)
        return vectors

    async def close(self) -> None:
        """See Embedder."""
        await self._client.close()

    async def _embed(self, texts: list[str]) -> list[list[float]]:
        retries, shortened_to = 0, None
        while True:
            try:
                vectors = await self._ask(texts)
            except Exception as error:
                failure = self._failure_of(error)
                if failure is None:
                    raise
                log.warning("embedding failed", model=self.model, status=failure.status, code=failure.code)
                longest = max(len(text.encode()) for text in texts)
                if failure.status in _TOO_LONG and longest > _LEAST_BYTES:
                    shortened_to = max(longest // 2, _LEAST_BYTES)
                    texts = [_beginning(text, shortened_to) for text in texts]
                    continue
                if not failure.passing or retries == self._retries:
                    raise failure.error from None
            else:
                # Only now is it known that length was the reason.
                self._most_bytes = min(self._most_bytes, shortened_to or self._most_bytes)
                return vectors
            await self._pauses.before(retries, failure.retry_after)
            retries += 1

    async def _ask(self, texts: list[str]) -> list[list[float]]:
        client = await self._client.opened()
        # Base64, which the client's own method would ask for, is not what every server knows.
        body: dict[str, Any] = {"model": self.model, "input": texts, "encoding_format": "float"}
        async with asyncio.timeout(self._silence_seconds):
            # As bytes: the client looks at each number by its type, which took 100 ms for a batch, and this takes 9.
            answer = await client.post("/embeddings", body=body, cast_to=bytes)
        return vectors_in(answer, len(texts))

    def _failure_of(self, error: Exception) -> Failure | None:
        """What it means; None if it is not foreseen."""
        # Whoever raises the client's errors has imported it.
        import openai

        match error:
            case TimeoutError():
                return Failure(
                    EmbeddingUnavailable(
                        f"the embedding model said nothing for {self._silence_seconds:g} seconds: try again, or raise"
                        " CODELAB_MODEL_TIMEOUT_SECONDS",
                        model=self.model,
                    )
                )
            case openai.APIStatusError():
                return _of_refusal(refusal_of(error), self.model)
            case openai.APIConnectionError():
                advice = "the embedding model's endpoint cannot be reached: check OPENAI_BASE_URL, or try again"
                return Failure(EmbeddingUnavailable(advice, model=self.model), passing=True)
            case openai.OpenAIError() | ValueError():
                return Failure(EmbeddingRefused(_unreadable(self.model), model=self.model))
        return None


def _of_refusal(refusal: Refusal, model: str) -> Failure:
    if refusal.of_load:
        return Failure(
            EmbeddingUnavailable(
                f"the embedding model's endpoint {refusal.what_happens}: try again later",
                retry_after=refusal.retry_after,
                model=model,
            ),
            passing=refusal.passing,
            retry_after=refusal.retry_after,
            status=refusal.status,
            code=refusal.code,
        )
    if refusal.of_credentials:
        advice = f"the embedding model's endpoint refused the credentials ({refusal.grounds}): check OPENAI_API_KEY"
    elif refusal.of_quota:
        advice = NO_QUOTA
    elif refusal.status == 404:
        advice = (
            f"the endpoint does not know embedding model {model} ({refusal.grounds}): check EMBEDDING_MODEL and"
            " OPENAI_BASE_URL"
        )
    else:
        advice = f"the endpoint does not embed with model {model} ({refusal.grounds}): check EMBEDDING_MODEL"
    return Failure(EmbeddingRefused(advice, model=model), status=refusal.status, code=refusal.code)


def _unreadable(model: str) -> str:
    return (
        "the endpoint's embeddings cannot be read: is OPENAI_BASE_URL OpenAI-compatible, and"
        f" EMBEDDING_MODEL={model} an embedding model?"
    )


def _beginning(text: str, most_bytes: int) -> str:
    if not text.strip():
        return _NOTHING
    return text.encode()[:most_bytes].decode(errors="ignore")


def _batches(texts: list[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        size += len(text.encode())
        if len(batch) == _BATCH_TEXTS or (batch and size > _BATCH_BYTES):
            yield batch
            batch, size = [], len(text.encode())
        batch.append(text)
    if batch:
        yield batch
