"""Tasks are executed over a real socket, with the real openai client and a scripted model; somebody to ask for them."""

import pytest

from tests.agents.calls import Agents, User


@pytest.fixture
async def user(answering: Agents) -> User:
    user = answering.user()
    await answering.create_space(user)
    return user
