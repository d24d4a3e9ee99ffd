"""Clients that leave and return at random, while events and answers pass and processes die: nobody loses anything.

`make soak` plays it large, on seeds of its own; CODELAB_TORTURE_SEED sets this one's.
"""

import os
from pathlib import Path

import pytest

from tests.e2e.conftest import settings
from tests.e2e.suite import Layout, running
from tests.e2e.torture.blows import KILL_ORCHESTRATOR, KILL_STREAMS
from tests.e2e.torture.torture import FULL, Size, torturing
from tests.e2e.torture.verdict import judge
from tests.fakes.openai_server import FakeModel

pytestmark = pytest.mark.longer

SEED = int(os.environ.get("CODELAB_TORTURE_SEED", "7"))
SIZE = FULL if os.environ.get("CODELAB_TORTURE") == "full" else Size()


async def test_nothing_is_lost_repeated_or_out_of_order_though_processes_die(folder: Path, model: FakeModel) -> None:
    chosen = {**settings(Layout.FIVE, model), "CODELAB_LEASE_SECONDS": "1"}
    async with running(Layout.FIVE, folder, **chosen) as suite, torturing(suite, model, SIZE, SEED) as torture:
        await torture.play([KILL_ORCHESTRATOR, KILL_STREAMS])
        await judge(torture)
        print(torture.tally.text())
        violated, counts = len(torture.tally.violations), torture.tally.counts
        assert violated == 0, torture.tally.text()
        assert counts["texts whose first half was a dead run's"]
