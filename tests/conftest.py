"""What every test shares."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from services.runtime.event_loop import EventLoop
from tests import databases, postgres, redis_server
from tests.databases import Place
from tests.e2e.suite import Layout
from tests.fakes.qdrant_description import Description, described
from tests.postgres import PostgresServer
from tests.redis_server import RedisServer

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

# gRPC's own library would write lines of its own between the dots. Read when grpc is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# Its fork handlers crash a child that changes its user, as PostgreSQL's does, if gRPC is at work meanwhile.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")


class _LoopPolicy(asyncio.DefaultEventLoopPolicy):
    """Tests run in the loop that the suite's processes run in."""

    def new_event_loop(self) -> EventLoop:
        return EventLoop()


asyncio.set_event_loop_policy(_LoopPolicy())

REQUIRE_ALL = os.environ.get("CODELAB_REQUIRE_ALL") == "1"
"""A test that is skipped, for whatever reason, has failed."""
PART = os.environ.get("CODELAB_TESTS", "usual")
"""Which tests run: `usual` ones, the `rest` that takes longer, or `all`."""


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL of the tests' own."""
    programs = postgres.programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with postgres.running(programs) as server:
        yield server


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """A Redis of the tests' own, which nobody stops."""
    with redis_server.running() as server:
        yield server


@pytest.fixture(scope="session")
def qdrant_description() -> Description:
    """What Qdrant says of its API."""
    return described()


@pytest_asyncio.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server_backed)])
async def database_place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """An empty database, of each kind."""
    server = request.getfixturevalue("postgres_server") if request.param == "postgresql" else None
    async with databases.place(tmp_path, server) as place:
        yield place


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the garbage collector pass over what stays to the end.

    Else it looks through all of it again and again, and so long everything here stands still, the fake servers too: up
    to three seconds on a busy machine.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what belongs to the other part; a worker begins with what needs the suite, by layout."""
    chosen = [item for item in items if PART == "all" or (PART == "rest") == _is_rest(item) or _is_in_both(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = sorted(chosen, key=_turn) if hasattr(config, "workerinput") else chosen


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share the tests out so that servers are started once a worker. Asked only where there are workers."""
    from tests.scheduling import ByFileAndLayout

    return ByFileAndLayout(config, log)


def _turn(item: pytest.Item) -> int:
    layout = _layout_of(item)
    return len(Layout) if layout is None else list(Layout).index(layout)


def _is_rest(item: pytest.Item) -> bool:
    """Whether `make test` leaves it out: it takes long, or says that the other layout is enough there."""
    if item.get_closest_marker("longer") is not None:
        return True
    return item.get_closest_marker("one_layout") is not None and _layout_of(item) is Layout.FIVE


def _is_in_both(item: pytest.Item) -> bool:
    return item.get_closest_marker("longer_in_rest") is not None


def _layout_of(item: pytest.Item) -> Layout | None:
    layout: Layout | None = (
        item.callspec.params.get("suite") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else None
    )
    return layout


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _refuse_skip((yield))


def _refuse_skip(report: Report) -> Report:
    # An expected failure (xfail) reports itself as skipped too, but it ran.
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{reason} (CODELAB_REQUIRE_ALL=1: nothing may be skipped)"
    return report
