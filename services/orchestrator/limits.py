"""What a run may spend, counted while it is spent: also of answers that still stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from services.orchestrator.errors import RUN_MODEL_CALL_LIMIT, RUN_TIME_LIMIT, RUN_TOKEN_LIMIT
from services.orchestrator.model import Usage
from services.runtime.ids import Clock

# Bytes of UTF-8 a token, on the low side: English has four and more, code and other scripts about three.
_BYTES_A_TOKEN = 3


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has."""
    return len(text.encode(errors="replace")) // _BYTES_A_TOKEN


@dataclass(frozen=True)
class WorkLimits:
    """Most that one run may have and spend."""

    tasks: int
    model_calls: int
    tokens: int
    seconds: float


class LimitReached(Exception):
    """The run may spend no more. `reason` is a name for programs, `detail` a sentence for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Spending:
    """What one attempt costs: an estimate while it runs, what the model counted once it is done."""

    def __init__(self, meter: "Meter") -> None:
        self._meter = meter
        self._spent = Usage()
        self._bytes = 0
        self.expected_calls = 1
        """Calls to the model that will be made and are not counted yet."""

    def called(self, prompt_tokens: int) -> None:
        """A call to the model begins, with about so many tokens."""
        self.expected_calls = 0
        self._spend(Usage(prompt_tokens, 0, 1))

    def wrote(self, text: str) -> None:
        """The model wrote more; before it is called, it is what earlier attempts paid for."""
        if self.expected_calls:
            return
        self._bytes += len(text.encode(errors="replace"))
        self._spend(Usage(0, self._bytes // _BYTES_A_TOKEN - self._spent.completion_tokens, 0))

    def ended(self, usage: Usage) -> None:
        """The attempt is done, and cost this."""
        self.expected_calls = 0
        self._spend(usage - self._spent)

    def over(self) -> None:
        """The attempt is over, done or not: it calls the model no more."""
        self.expected_calls = 0

    def spent(self) -> Usage:
        """What it cost so far."""
        return self._spent

    def _spend(self, more: Usage) -> None:
        self._spent += more
        self._meter.count(more)


class Meter:
    """Counts what a run spends under one lease, on top of what is committed: `usage`.

    Its time counts from `working_since`.
    """

    def __init__(self, limits: WorkLimits, usage: Usage, working_since: datetime, clock: Clock) -> None:
        self._limits = limits
        self._usage = usage
        self._working_since = working_since
        self._clock = clock
        self._attempts: dict[tuple[str, int], Spending] = {}
        self._stop: LimitReached | None = None
        self._timeout: asyncio.Timeout | None = None

    @property
    def usage(self) -> Usage:
        """What the run has cost in all."""
        return self._usage

    def attempt(self, name: str, number: int = 1) -> Spending:
        """Begin an attempt at something, with a call to the model. Raise LimitReached if that may not be made.

        Whoever begins it says when it is over: the call counts as one that will be made until then.
        """
        expected = sum(spending.expected_calls for spending in self._attempts.values())
        if self._usage.model_calls + expected >= self._limits.model_calls:
            self._reach(self._too_many_calls())
        elif self._usage.tokens >= self._limits.tokens:
            self._reach(self._too_many_tokens())
        if self._stop is not None:
            raise self._stop
        spending = self._attempts[name, number] = Spending(self)
        return spending

    def spent_by(self, name: str, number: int) -> Usage:
        """What this attempt has cost; nothing, if it was not begun under this lease."""
        spending = self._attempts.get((name, number))
        return Usage() if spending is None else spending.spent()

    def count(self, more: Usage) -> None:
        """The run has cost more. Stop it if that is more than it may."""
        self._usage += more
        if self._usage.tokens > self._limits.tokens:
            self._reach(self._too_many_tokens())
        elif self._usage.model_calls > self._limits.model_calls:
            self._reach(self._too_many_calls())

    @asynccontextmanager
    async def limiting(self) -> AsyncIterator[None]:
        """Stop the block as soon as a limit is passed. Raise LimitReached then."""
        worked = (self._clock() - self._working_since).total_seconds()
        try:
            async with asyncio.timeout(max(0.0, self._limits.seconds - worked)) as self._timeout:
                yield
        except TimeoutError:
            if self._timeout is None or not self._timeout.expired():
                raise
            raise self._stop or self._out_of_time() from None
        finally:
            self._timeout = None

    def _reach(self, stop: LimitReached) -> None:
        if self._stop is not None:
            return
        if self._timeout is not None and self._timeout.expired():
            # The block ends for its time already.
            stop = self._out_of_time()
        elif self._timeout is not None:
            self._timeout.reschedule(asyncio.get_running_loop().time())
        self._stop = stop

    def _too_many_tokens(self) -> LimitReached:
        tokens = self._limits.tokens
        detail = f"the run may use {tokens:,} tokens: raise CODELAB_RUN_TOKENS, or ask for less at once"
        return LimitReached(RUN_TOKEN_LIMIT, detail)

    def _too_many_calls(self) -> LimitReached:
        calls = self._limits.model_calls
        detail = f"the run may call the model {calls:,} times: raise CODELAB_RUN_MODEL_CALLS, or ask for less at once"
        return LimitReached(RUN_MODEL_CALL_LIMIT, detail)

    def _out_of_time(self) -> LimitReached:
        detail = f"the run may take {self._limits.seconds:g} s: raise CODELAB_RUN_SECONDS, or ask for less at once"
        return LimitReached(RUN_TIME_LIMIT, detail)
