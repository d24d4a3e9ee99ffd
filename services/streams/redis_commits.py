"""One script at a time: what is asked for while one is on its way goes together in the next."""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from services.runtime.redis_client import RedisUnavailable, answered
from services.runtime.tasks import repeating
from services.streams.errors import EventsUnavailable
from services.streams.redis_scripts import FAILED, SCRIPT

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = structlog.get_logger()

_BATCH_OPERATIONS = 256
_BATCH_BYTES = 1_000_000
_MOST_WAITING = 10_000
_MOST_WAITING_BYTES = 64_000_000
_IDLE_SECONDS = 60.0

Result = TypeVar("Result")


class Reach:
    """Whether Redis answers: a line in the log when it is lost, and one when it is back."""

    def __init__(self) -> None:
        self._away = False

    async def answer(self, call: Awaitable[Result]) -> Result:
        """What the call returns. Raise EventsUnavailable."""
        try:
            answer = await call
        except RedisUnavailable as error:
            if not self._away:
                self._away = True
                log.error("Redis is out of reach: events wait for it", cause=error.cause)
            raise EventsUnavailable from None
        if self._away:
            self._away = False
            log.info("Redis is back: events go on")
        return answer


@dataclass(slots=True, eq=False)
class _Asked:
    key: bytes
    arguments: tuple[bytes, ...]
    size: int
    answer: asyncio.Future[list[Any]] | None
    """None: nobody waits for it."""


class Commits:
    """Operations of the script (see redis_scripts), done in the order in which they are asked for."""

    def __init__(self, client: "Redis", reach: Reach) -> None:
        self._script = client.register_script(SCRIPT)
        self._reach = reach
        self._waiting: deque[_Asked] = deque()
        self._waiting_bytes = 0
        self._woken = asyncio.Event()
        self._ended = False

    @asynccontextmanager
    async def going(self) -> AsyncIterator[None]:
        """Send what is asked for while the block runs. Nothing else does; what is left at its end is not done."""
        try:
            async with repeating("send events to Redis", self._send_all, _IDLE_SECONDS, self._woken):
                yield
        finally:
            self._ended = True
            self._give_up()

    async def do(self, operation: bytes, key: bytes, *arguments: bytes) -> list[Any]:
        """The operation's answer; its first element says how it went. Raise EventsUnavailable.

        Who is cancelled does not know whether it was done.
        """
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        if not self._ask(operation, key, arguments, answer):
            raise EventsUnavailable
        result = await answer
        if result[0] == FAILED:
            log.error("an operation on a stream failed", operation=operation.decode(), cause=result[1].decode())
            raise EventsUnavailable
        return result

    def post(self, operation: bytes, key: bytes, *arguments: bytes) -> None:
        """Have the operation done, if that can be."""
        self._ask(operation, key, arguments, None)

    def _ask(
        self, operation: bytes, key: bytes, arguments: tuple[bytes, ...], answer: asyncio.Future[list[Any]] | None
    ) -> bool:
        size = len(key) + sum(map(len, arguments))
        if (
            self._ended
            or len(self._waiting) >= _MOST_WAITING
            or self._waiting_bytes + size > max(_MOST_WAITING_BYTES, size)
        ):
            return False
        self._waiting.append(_Asked(key, (operation, b"%d" % len(arguments), *arguments), size, answer))
        self._waiting_bytes += size
        self._woken.set()
        return True

    async def _send_all(self) -> None:
        while batch := self._next_batch():
            try:
                await self._send(batch)
            except EventsUnavailable:
                # Who waits behind them would only wait for the same.
                self._give_up()

    async def _send(self, batch: list[_Asked]) -> None:
        keys = [each.key for each in batch]
        arguments = [secrets.token_bytes(4).hex().encode(), *(part for each in batch for part in each.arguments)]
        try:
            answers = await self._reach.answer(answered(self._script(keys, arguments)))
        except BaseException:
            _fail(batch)
            raise
        for each, answer in zip(batch, answers, strict=True):
            if each.answer is not None and not each.answer.done():
                each.answer.set_result(answer)

    def _next_batch(self) -> list[_Asked]:
        batch: list[_Asked] = []
        size = 0
        while self._waiting and len(batch) < _BATCH_OPERATIONS:
            if batch and size + self._waiting[0].size > _BATCH_BYTES:
                break
            asked = self._waiting.popleft()
            self._waiting_bytes -= asked.size
            if asked.answer is None or not asked.answer.done():
                size += asked.size
                batch.append(asked)
        return batch

    def _give_up(self) -> None:
        _fail(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0


def _fail(asked: Iterable[_Asked]) -> None:
    for each in asked:
        if each.answer is not None and not each.answer.done():
            each.answer.set_exception(EventsUnavailable())
