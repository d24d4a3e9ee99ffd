"""What a run may spend: counted as it is spent, and stopped the moment it is more than that."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from services.orchestrator.errors import RUN_MODEL_CALL_LIMIT, RUN_TIME_LIMIT, RUN_TOKEN_LIMIT
from services.orchestrator.limits import LimitReached, Meter, WorkLimits
from services.orchestrator.model import Usage
from tests.conformance.orchestrator_stores import NOW

NOTHING = Usage()


def a_meter(
    model_calls: int = 100,
    tokens: int = 100_000,
    seconds: float = 3600.0,
    usage: Usage = NOTHING,
    now: datetime = NOW,
) -> Meter:
    return Meter(WorkLimits(12, model_calls, tokens, seconds), usage, NOW, lambda: now)


async def stopped(meter: Meter, meanwhile: Callable[[], None] = lambda: None) -> LimitReached:
    """What stops a block that would never end by itself, and still does something when it is stopped."""
    try:
        async with asyncio.timeout(30), meter.limiting():
            try:
                await asyncio.Event().wait()
            finally:
                meanwhile()
    except LimitReached as limit:
        return limit
    raise AssertionError("nothing stops it")


def test_attempt_costs_what_can_be_guessed_until_the_model_has_counted() -> None:
    meter = a_meter(usage=Usage(1, 2, 3))
    attempt = meter.attempt("a")
    assert meter.usage == Usage(1, 2, 3)
    attempt.called(40)
    for piece in ("Grü", "ße, ", "all" * 10):
        attempt.wrote(piece)
    assert attempt.spent() == Usage(40, (4 + 5 + 30) // 3, 1)
    assert meter.usage == Usage(41, 15, 4)
    attempt.ended(Usage(50, 9, 2))
    assert (attempt.spent(), meter.usage) == (Usage(50, 9, 2), Usage(51, 11, 5))


def test_what_an_earlier_attempt_said_already_costs_nothing_again() -> None:
    meter = a_meter()
    resumed = meter.attempt("a", 2)
    # Before the model is called: what the answer begins with.
    resumed.wrote("x" * 30_000)
    assert meter.usage == Usage()
    resumed.called(40)
    resumed.wrote("x" * 30)
    assert resumed.spent() == meter.usage == Usage(40, 10, 1)


def test_attempt_that_broke_off_keeps_its_estimate_and_the_next_one_counts_from_nothing() -> None:
    meter = a_meter()
    broken = meter.attempt("a", 1)
    broken.called(40)
    broken.wrote("x" * 30)
    broken.over()
    meter.attempt("a", 2).called(5)
    assert meter.usage == Usage(45, 10, 2)
    assert [meter.spent_by("a", number) for number in (1, 2, 3)] == [Usage(40, 10, 1), Usage(5, 0, 1), Usage()]


def test_as_many_calls_are_made_as_may_be_and_no_more_also_at_once() -> None:
    meter = a_meter(model_calls=3, usage=Usage(model_calls=1))
    for name in "ab":
        meter.attempt(name)
    with pytest.raises(LimitReached) as caught:
        meter.attempt("c")
    assert caught.value.reason == RUN_MODEL_CALL_LIMIT
    assert "3 times" in caught.value.detail


def test_attempt_that_ended_before_it_reached_the_model_leaves_its_call_to_others() -> None:
    meter = a_meter(model_calls=2)
    meter.attempt("a").over()
    meter.attempt("b").ended(Usage())
    for name in "cd":
        meter.attempt(name).called(1)
    assert meter.usage.model_calls == 2


def test_run_that_has_used_its_last_token_makes_no_more_calls() -> None:
    meter = a_meter(tokens=10)
    meter.attempt("a").ended(Usage(6, 4, 1))
    with pytest.raises(LimitReached) as caught:
        meter.attempt("b")
    assert caught.value.reason == RUN_TOKEN_LIMIT


async def test_run_at_exactly_its_limits_is_not_stopped() -> None:
    meter = a_meter(model_calls=1, tokens=10)
    async with meter.limiting():
        attempt = meter.attempt("a")
        attempt.called(4)
        attempt.wrote("x" * 18)
        attempt.ended(Usage(5, 5, 1))
        # Turns in which it would be stopped.
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.mark.parametrize("spend", ["prompt", "piece", "end", "call"])
async def test_run_is_stopped_in_the_middle_of_what_is_too_much(spend: str) -> None:
    meter = a_meter(model_calls=2, tokens=10)
    attempt = meter.attempt("a")
    attempt.called(4)
    match spend:
        case "prompt":
            attempt.called(7)
        case "piece":
            attempt.wrote("x" * 20)
            attempt.wrote("x")
        case "end":
            attempt.ended(Usage(4, 7, 1))
        case "call":
            attempt.called(1)
            # The model was called again and again by itself.
            attempt.called(1)
    # What came before the block stops its next call at the latest; what comes in it, it at once.
    with pytest.raises(LimitReached) as caught:
        meter.attempt("b")
    assert caught.value.reason == (RUN_MODEL_CALL_LIMIT if spend == "call" else RUN_TOKEN_LIMIT)


async def test_block_is_stopped_by_what_others_spend_meanwhile() -> None:
    meter = a_meter(tokens=10)

    async def write() -> None:
        attempt = meter.attempt("a")
        attempt.called(0)
        for _ in range(11):
            attempt.wrote("xxx")
        # Once is enough, however much comes after it.
        attempt.called(1_000_000)

    writing = asyncio.create_task(write())
    limit = await stopped(meter)
    await writing
    assert (limit.reason, "10 tokens" in limit.detail) == (RUN_TOKEN_LIMIT, True)


async def test_block_is_stopped_when_the_runs_time_is_up() -> None:
    limit = await stopped(a_meter(seconds=60, now=NOW + timedelta(seconds=60)))
    assert (limit.reason, "60 s" in limit.detail) == (RUN_TIME_LIMIT, True)


async def test_what_is_spent_while_a_block_ends_for_its_time_changes_nothing() -> None:
    meter = a_meter(tokens=10, seconds=60, now=NOW + timedelta(seconds=61))
    attempt = meter.attempt("a")
    limit = await stopped(meter, lambda: attempt.called(11))
    assert limit.reason == RUN_TIME_LIMIT


async def test_timeout_of_the_blocks_own_is_no_limit() -> None:
    with pytest.raises(TimeoutError):
        async with a_meter().limiting():
            raise TimeoutError
