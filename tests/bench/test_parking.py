"""The bench of parking works: its runs wait and end as they should, and it says what they cost."""

import pytest

from tests.bench.parking import Held, measure, table
from tests.e2e.suite import Layout

pytestmark = pytest.mark.longer


async def test_bench_tells_what_waiting_runs_hold_and_cost() -> None:
    report = await measure(Layout.ONE, runs=3, rest_seconds=0.2)
    assert report.held == Held(leases=0, model_calls=0, busy_agents=0, untold_events=0)
    assert report.succeeded == 6
    assert "3 waiting runs hold 0 leases" in table("", report)
