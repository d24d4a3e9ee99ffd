"""The agents service, running."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.agents.calls import Agents, User, serving
from tests.fakes.openai_server import FakeModel


@pytest.fixture
async def agents(tmp_path: Path) -> AsyncIterator[Agents]:
    """The service with its offline model."""
    async with serving(tmp_path) as running:
        yield running


@pytest.fixture
def model() -> Iterator[FakeModel]:
    with FakeModel() as running:
        yield running


@pytest.fixture
async def answering(tmp_path: Path, model: FakeModel) -> AsyncIterator[Agents]:
    """The service with the scripted model, so patient that no test sees its patience end."""
    async with serving(tmp_path, OPENAI_BASE_URL=model.url, OPENAI_MODEL="fake-model") as running:
        yield running


@pytest.fixture
async def impatient(tmp_path: Path, model: FakeModel) -> AsyncIterator[Agents]:
    """The service with the scripted model, which may be silent for a second."""
    async with serving(tmp_path, OPENAI_BASE_URL=model.url, CODELAB_MODEL_TIMEOUT_SECONDS="1") as running:
        yield running


@pytest.fixture
def user(agents: Agents) -> User:
    return agents.user()


@pytest.fixture
def stranger(agents: Agents) -> User:
    return agents.user()
