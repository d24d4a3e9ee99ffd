"""A fixed list of faults: after each, nothing is lost, nothing was done twice, and nothing is left over."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio

from tests import postgres
from tests.conftest import REQUIRE_ALL
from tests.e2e.faults.faults import FIVE, REPLICAS, Fault
from tests.e2e.faults.game import Game, playing
from tests.e2e.faults.tally import Tally
from tests.e2e.suite import Layout
from tests.fakes.openai_server import FakeModel

SEED = 5
pytestmark = pytest.mark.longer


@pytest.fixture(scope="module")
def tally() -> Iterator[Tally]:
    kept = Tally()
    yield kept
    print(kept.text())


@pytest_asyncio.fixture(scope="module")
async def on_sqlite(model: FakeModel, tally: Tally, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Game]:
    async with playing(Layout.FIVE, model, tmp_path_factory.mktemp("faults"), tally, SEED) as game:
        yield game


@pytest_asyncio.fixture(scope="module")
async def on_postgres(model: FakeModel, tally: Tally, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Game]:
    if not REQUIRE_ALL and postgres.programs() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    async with playing(Layout.REPLICAS, model, tmp_path_factory.mktemp("faults"), tally, SEED) as game:
        yield game


def each_of(faults: tuple[Fault, ...]) -> Callable[..., object]:
    """A test for each fault; the number, with the seed, says how it strikes."""
    return pytest.mark.parametrize(("number", "fault"), list(enumerate(faults)), ids=[fault.name for fault in faults])


@each_of(FIVE)
async def test_run_survives_on_sqlite(on_sqlite: Game, fault: Fault, number: int) -> None:
    assert not await on_sqlite.play(fault, number)


@pytest.mark.server_backed
@each_of(REPLICAS)
async def test_run_survives_on_replicas(on_postgres: Game, fault: Fault, number: int) -> None:
    assert not await on_postgres.play(fault, number)


@pytest.mark.server_backed
async def test_whoever_watched_the_replicas_heard_every_end_once(on_postgres: Game) -> None:
    assert not await on_postgres.told()


def test_there_were_many_faults_and_each_struck_runs_in_flight(tally: Tally) -> None:
    assert sum(tally.faults.values()) >= 12
    assert all(tally.in_flight[name] for name in tally.faults)
