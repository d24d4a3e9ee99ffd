"""The bench of planned runs works: every run it sends is answered, and it says what they cost."""

import pytest

from tests.bench.orchestration import FIVE, TEN, measure, table
from tests.e2e.suite import Layout

pytestmark = pytest.mark.longer


async def test_bench_tells_what_planned_runs_take_beside_their_model() -> None:
    loads = await measure(Layout.ONE, "hashing", repeats=1, crowds=(2,), slowness=0.1)
    assert [(load.tasks, load.at_once, load.runs) for load in loads] == [(len(TEN), 1, 1), (len(FIVE), 1, 1), (5, 2, 2)]
    assert all(1 <= load.of_critical_p50 <= load.of_critical_worst for load in loads), "none before its model"
    assert "10 tasks within 1.05 × of their critical path" in table("", loads)
