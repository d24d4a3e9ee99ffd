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
        self._estimate = Usage(model_calls=1)
        self._bytes = 0
        self._counted: Usage | None = None
        self._begun = False

    def called(self, prompt_tokens: int) -> None:
        """A call to the model begins, with about so many tokens. The first was counted when the attempt began."""
        calls = 1 if self._begun else 0
        self._begun = True
        self._estimate += Usage(prompt_tokens, 0, calls)
        self._meter.check()

    def wrote(self, text: str) -> None:
        """The model wrote more."""
        self._bytes += len(text.encode(errors="replace"))
        self._meter.check()

    def ended(self, usage: Usage) -> None:
        """The attempt is done, and cost this."""
        self._counted = usage
        self._meter.check()

    def spent(self) -> Usage:
        """What it cost so far. An attempt that broke off before it reached the model cost nothing."""
        if self._counted is not None:
            return self._counted
        return self._estimate + Usage(0, self._bytes // _BYTES_A_TOKEN, 0) if self._begun else Usage()

    @property
    def reserved(self) -> Usage:
        """`spent`, with the call that is about to be made."""
        return self.spent() if self._begun or self._counted is not None else Usage(model_calls=1)


class Meter:
    """Counts what a run spends under one lease, on top of what is committed: `usage`.

    Its time counts from `working_since`.
    """

    def __init__(self, limits: WorkLimits, usage: Usage, working_since: datetime, clock: Clock) -> None:
        self._limits = limits
        self._before = usage
        self._working_since = working_since
        self._clock = clock
        self._past = Usage()
        self._latest: dict[str, Spending] = {}
        self._stop: LimitReached | None = None
        self._timeout: asyncio.Timeout | None = None

    @property
    def usage(self) -> Usage:
        """What the run has cost in all."""
        return self._sum(reserved=False)

    def attempt(self, name: str) -> Spending:
        """Begin an attempt at something, with a call to the model. Raise LimitReached if it may not be made."""
        if self._sum(reserved=True).model_calls >= self._limits.model_calls:
            self._reach(self._too_many_calls())
        if self._stop is not None:
            raise self._stop
        before = self._latest.get(name)
        if before is not None:
            self._past += before.spent()
        spending = self._latest[name] = Spending(self)
        return spending

    def spent_by(self, name: str) -> Usage:
        """What the latest attempt of this name has cost."""
        spending = self._latest.get(name)
        return Usage() if spending is None else spending.spent()

    def check(self) -> None:
        """Stop the run if it has spent more than it may."""
        spent = self._sum(reserved=False)
        if spent.tokens > self._limits.tokens:
            detail = (
                f"the run may use {self._limits.tokens:,} tokens: raise CODELAB_RUN_TOKENS, or ask for less at once"
            )
            self._reach(LimitReached(RUN_TOKEN_LIMIT, detail))
        elif spent.model_calls > self._limits.model_calls:
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
            raise self._stop or LimitReached(RUN_TIME_LIMIT, self._out_of_time()) from None
        finally:
            self._timeout = None

    def _sum(self, *, reserved: bool) -> Usage:
        total = self._before + self._past
        for spending in self._latest.values():
            total += spending.reserved if reserved else spending.spent()
        return total

    def _reach(self, stop: LimitReached) -> None:
        if self._stop is None:
            self._stop = stop
            if self._timeout is not None:
                self._timeout.reschedule(asyncio.get_running_loop().time())

    def _too_many_calls(self) -> LimitReached:
        calls = self._limits.model_calls
        detail = f"the run may call the model {calls:,} times: raise CODELAB_RUN_MODEL_CALLS, or ask for less at once"
        return LimitReached(RUN_MODEL_CALL_LIMIT, detail)

    def _out_of_time(self) -> str:
        return f"the run may take {self._limits.seconds:g} s: raise CODELAB_RUN_SECONDS, or ask for less at once"
