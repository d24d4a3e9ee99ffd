"""Many runs while leases are renewed all the time: what happens rarely happens here."""

import asyncio
import time
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
            async with asyncio.timeout(60):
                await asyncio.gather(*(_answered(chat, model) for chat in chats))


async def _answered(chat: Chat, model: FakeModel) -> None:
    text = f"Hello, {uuid.uuid4()}."
    async with chat.stream(text) as stream:
        watch = await stream.to_end()
    assert watch.final()["type"] == "agent_completed"
    # What the run's own process does not tell is left for 10 s to be told by the sweeper. The model answers at once.
    assert time.monotonic() - model.exchanges(text)[-1].received_at < 9
