"""Many runs while leases are renewed all the time: what happens rarely happens here."""

import asyncio
import uuid
from pathlib import Path

from tests.e2e.client import Chat, signed_in
from tests.e2e.conftest import settings
from tests.e2e.suite import Layout, running
from tests.fakes.openai_server import FakeModel

RUNS = 60
AT_ONCE = 15


async def test_every_run_tells_its_end_at_once_while_leases_are_renewed(folder: Path, model: FakeModel) -> None:
    often = {**settings(Layout.FIVE, model), "CODELAB_LEASE_SECONDS": "0.3"}
    async with (
        running(Layout.FIVE, folder, **often) as suite,
        signed_in(suite.url, await suite.token(str(uuid.uuid4()))) as ann,
    ):
        chats = await asyncio.gather(*(ann.new_chat() for _ in range(AT_ONCE)))
        for _ in range(RUNS // AT_ONCE):
            async with asyncio.timeout(9):
                await asyncio.gather(*(_answered(chat) for chat in chats))


async def _answered(chat: Chat) -> None:
    async with chat.stream("Hello.") as stream:
        watch = await stream.to_end()
    assert watch.final()["type"] == "agent_completed"
