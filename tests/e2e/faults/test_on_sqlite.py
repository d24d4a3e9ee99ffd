"""A fixed list of faults on five processes and SQLite: after each nothing is lost, done twice, or left over."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.faults.errands import PARTS
from tests.e2e.faults.faults import FIVE, Fault
from tests.e2e.faults.game import Game, playing
from tests.e2e.faults.tally import Tally
from tests.e2e.suite import Layout
from tests.fakes.openai_server import FakeModel

SEED = 5
pytestmark = pytest.mark.longer


@pytest_asyncio.fixture(scope="module")
async def game(model: FakeModel, tally: Tally, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Game]:
    async with playing(Layout.FIVE, model, tmp_path_factory.mktemp("faults"), tally, SEED) as started:
        yield started


@pytest.mark.parametrize(("number", "fault"), list(enumerate(FIVE)), ids=[fault.name for fault in FIVE])
async def test_no_run_is_lost_or_done_twice_by(game: Game, fault: Fault, number: int) -> None:
    assert not await game.play(fault, number)


def test_each_fault_struck_runs_in_flight(game: Game) -> None:
    assert all(game.tally.in_flight[name] for name in game.tally.faults)


def test_faults_struck_planned_runs_in_planning_at_work_and_in_combining(game: Game) -> None:
    assert all(game.tally.struck(part) for part in PARTS)
