"""The projects service on its stage."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from codelab.projects.v1.project_service_pb2_grpc import ProjectServiceStub

from tests.projects.stage import Client, Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage.at(tmp_path / "data")


@pytest.fixture
async def service(stage: Stage) -> AsyncIterator[ProjectServiceStub]:
    async with stage.parts(), stage.serving() as stub:
        yield stub


@pytest.fixture
def alice(stage: Stage, service: ProjectServiceStub) -> Client:
    return Client(service, stage.keys, "alice@example.com")


@pytest.fixture
def bob(stage: Stage, service: ProjectServiceStub) -> Client:
    return Client(service, stage.keys, "bob@example.com")
