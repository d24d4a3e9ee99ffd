"""Over a socket: readers that leave and return while runs publish, break off and are taken over."""

import asyncio
import random
from typing import Any

import pytest

from services.streams.store import BUFFER_EVENTS
from tests.streams.world import World, delta, event, snapshot

EVENTS = 300
READERS = 20
WORDS = ("plain ", "naïve ", "🦜 ", "𐍈 ", "\n")


class Reader:
    """Keeps the last id over its connections, and texts within one."""

    def __init__(self, world: World, random: random.Random) -> None:
        self._world = world
        self._random = random
        self.ids: list[str] = []
        self.names: list[str] = []
        self.texts: dict[str, str] = {}
        self._last = "start"

    async def read_until(self, name: str) -> None:
        while not self.names or self.names[-1] != name:
            call = self._world.subscribe(after=self._last)
            self.texts.clear()
            frames = self._random.randint(1, 80)
            while frames > 0 and (not self.names or self.names[-1] != name):
                self._take((await call.read()).event)
                frames -= 1
            call.cancel()
            await asyncio.sleep(self._random.random() * 0.02)

    def _take(self, event: Any) -> None:
        self._last = event.id if event.HasField("id") else self._last
        match event.WhichOneof("payload"):
            case "agent_started":
                self.ids.append(event.id)
                self.names.append(event.agent_started.agent_name)
            case "message_snapshot":
                self.texts[event.message_snapshot.message_id] = event.message_snapshot.text
            case "message_delta":
                more = event.message_delta
                text = self.texts.get(more.message_id, "")
                assert len(text) == more.offset, "a gap or a repeat"
                self.texts[more.message_id] = text + more.text
            case other:
                assert other == "heartbeat", other


@pytest.mark.parametrize("seed", range(3))
async def test_readers_who_leave_and_return_rebuild_everything(world: World, seed: int) -> None:
    chance = random.Random(seed)
    readers = [Reader(world, random.Random(seed * 1_000 + number)) for number in range(READERS)]
    text, ids = "", {}

    async def publish() -> None:
        nonlocal text
        n = 0
        while n < EVENTS:
            # A stream that breaks is opened again, with the text so far and the last event once more.
            async with world.publishing() as publishing:
                await publishing.send(snapshot(text))
                for _ in range(chance.randint(10, 60)):
                    more = chance.choice(WORDS)
                    await publishing.send(delta(len(text), more))
                    text += more
                    n += 0 if chance.random() < 0.1 and n else 1
                    ids[n] = await publishing.send(event("agent_started", agent_name=str(n)), n)
                    await asyncio.sleep(chance.random() * 0.005)
                    # Who falls behind by more than the buffer is told to resync, which is another test's matter.
                    while n - min(len(reader.names) for reader in readers) > BUFFER_EVENTS - 20:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
        async with world.publishing() as publishing:
            await publishing.send(event("agent_started", agent_name="end"), n + 1)

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(publish())
        for reader in readers:
            tasks.create_task(reader.read_until("end"))
    for reader in readers:
        assert reader.names[:-1] == [str(n) for n in sorted(ids)]
        assert reader.ids[:-1] == [ids[n] for n in sorted(ids)]
        assert reader.texts in ({"m": text}, {})
    assert any(reader.texts for reader in readers)
