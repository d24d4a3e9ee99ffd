"""Clients that leave and return at random, while events and answers pass and processes die: nobody loses anything.

`make soak-streams` plays it large, on seeds of its own; CODELAB_TORTURE_SEED sets this one's.
"""

import os
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from tests import postgres
from tests.conftest import REQUIRE_ALL
from tests.e2e.suite import Suite
from tests.e2e.torture.blows import KILL_ONE_STREAMS, KILL_ORCHESTRATOR, Blow, blows_to
from tests.e2e.torture.replicas import STREAMS, replicas
from tests.e2e.torture.tally import Tally
from tests.e2e.torture.torture import SMALL, Size, torturing
from tests.e2e.torture.verdict import judge
from tests.fakes.openai_server import FakeModel
from tests.redis_server import RedisServer

pytestmark = [pytest.mark.longer, pytest.mark.server_backed]

SEED = int(os.environ.get("CODELAB_TORTURE_SEED", "7"))


@pytest_asyncio.fixture(scope="module")
async def tortured(
    model: FakeModel, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Suite, RedisServer]]:
    if not REQUIRE_ALL and postgres.programs() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    async with replicas(tmp_path_factory.mktemp("torture"), model) as started:
        yield started


async def tally_of(suite: Suite, model: FakeModel, size: Size, blows: Sequence[Blow]) -> Tally:
    """What a torture came to; what was wrong in it fails the test."""
    async with torturing(suite, model, size, SEED, STREAMS) as torture:
        await torture.play(blows)
        await judge(torture)
    print(torture.tally.text())
    # Not the list, which would be printed a second time.
    violations = len(torture.tally.violations)
    assert violations == 0, torture.tally.text()
    return torture.tally


async def test_nothing_is_lost_repeated_or_out_of_order_though_processes_die(
    tortured: tuple[Suite, RedisServer], model: FakeModel
) -> None:
    suite, _ = tortured
    tally = await tally_of(suite, model, Size(), [KILL_ORCHESTRATOR, KILL_ONE_STREAMS])
    assert tally.counts["texts whose first half was a dead run's"]


async def test_whoever_lost_something_with_redis_is_told_so_and_the_last_word_is_right(
    tortured: tuple[Suite, RedisServer], model: FakeModel
) -> None:
    suite, redis = tortured
    blows = blows_to(redis, away_seconds=2)
    tally = await tally_of(suite, model, SMALL, [blows["emptied"], blows["restored"], blows["silent"]])
    assert tally.counts["resyncs due"]
