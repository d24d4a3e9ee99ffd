"""A suite in each layout, the model it asks, and two users."""

import uuid
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests import postgres
from tests.conftest import REQUIRE_ALL
from tests.e2e.client import Api, signed_in
from tests.e2e.suite import LIVING, Layout, Suite, clean_environment, run_codelab, running
from tests.fakes.openai_server import FakeModel
from tests.postgres import PostgresServer

# An assertion that fails there says what it compared, as in a test's own file.
pytest.register_assert_rewrite("tests.e2e.recitals", "tests.e2e.rules", "tests.e2e.truth")

QUICK = {
    # The fake model lives in the tests' process, which has stood still for three seconds on a busy machine.
    "CODELAB_MODEL_TIMEOUT_SECONDS": "6",
    "CODELAB_LEASE_SECONDS": "2",
    "CODELAB_HEARTBEAT_SECONDS": "0.5",
    "CODELAB_DRAIN_SECONDS": "20",
    # Longer than any test that leaves a question open.
    "CODELAB_APPROVAL_SECONDS": "3600",
    "CODELAB_LOG_LEVEL": "info",
    # Quick too, and good enough wherever it does not matter what is recalled.
    "EMBEDDING_MODEL": "hashing",
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of the suites that ran while a test failed."""
    report = yield
    if report.failed:
        report.sections += [(f"suite on {suite.layout}", suite.logs()) for suite in LIVING]
    return report


@pytest.fixture(scope="session")
def model() -> Iterator[FakeModel]:
    with FakeModel() as started:
        yield started


@pytest_asyncio.fixture(scope="session", params=[Layout.FIVE, Layout.ONE], ids=str)
async def suite(
    request: pytest.FixtureRequest, model: FakeModel, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Suite]:
    """Five processes on PostgreSQL, where it is installed, as in production; one process on SQLite, as at home."""
    layout: Layout = request.param
    folder, chosen = tmp_path_factory.mktemp("suite"), settings(layout, model)
    if layout is Layout.FIVE and (REQUIRE_ALL or postgres.programs() is not None):
        server: PostgresServer = request.getfixturevalue("postgres_server")
        chosen["DATABASE_URL"] = await server.create_database(f"suite {uuid.uuid4()}")
        migrated = await run_codelab("migrate", environment=clean_environment(**chosen), folder=folder)
        assert migrated.code == 0, migrated.output
    async with running(layout, folder, **chosen) as started:
        yield started


@pytest_asyncio.fixture(autouse=True)
async def suite_runs_again(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """A test that fails while it has the suite stopped or killed must not fail the next ones."""
    yield
    if "suite" in request.fixturenames:
        await request.getfixturevalue("suite").restore()


def settings(layout: Layout, model: FakeModel) -> dict[str, str]:
    """Quick timeouts and the fake model; secrets are given to five processes and made by one."""
    asking = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "sk-test", "OPENAI_MODEL": "fake-model"}
    secrets = {"JWT_SECRET_KEY": "user-" * 10, "SERVICE_TOKEN_KEY": "service-" * 10} if layout is Layout.FIVE else {}
    return {**QUICK, **asking, **secrets}


@pytest_asyncio.fixture(scope="session")
async def ann(suite: Suite) -> AsyncIterator[Api]:
    async with signed_in(suite.url, await suite.token(str(uuid.uuid4()))) as api:
        yield api


@pytest_asyncio.fixture(scope="session")
async def bob(suite: Suite) -> AsyncIterator[Api]:
    async with signed_in(suite.url, await suite.token(str(uuid.uuid4()))) as api:
        yield api


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder's parent for a suite of the test's own."""
    return tmp_path
