"""The bench of event streams works: all that it publishes arrives, at every door, and it says what that cost."""

import pytest

from tests.bench.fanout import Size, measure, measure_others, stalled_lines, table
from tests.e2e.suite import Layout

pytestmark = pytest.mark.longer

SMALL = Size(
    sessions=10,
    rate=100,
    busy_rate=200,
    watchers=5,
    seconds=0.5,
    settle_seconds=0.1,
    publishers=10,
    acked_rate=100,
    stalled=2,
    stalled_sessions=1,
    stalled_rate=200,
    heavy_seconds=0.1,
    stalled_seconds=0.6,
    wake_seconds=0.2,
)


async def test_bench_tells_what_deliveries_and_stalled_readers_cost() -> None:
    others = await measure_others(SMALL)
    delivered, stalled = await measure(Layout.FIVE, SMALL)
    every = [*delivered, *others[0], *others[1]]
    found = [(each.clients, each.sessions, each.deliveries, each.missing) for each in every]
    assert found == 3 * [(10, 10, 50, 0), (10, 10, 100, 0), (5, 1, 50, 0)]
    assert all(min(each.cpu_us_by_process.values()) > 0 < each.p50_ms <= each.p99_ms for each in every)
    assert "CPU a delivery within 100 µs" in table("", delivered, others)
    # So little happened that the stalled were told all of it, and are still connected.
    assert stalled.ended == {"open": 2}
    assert "MISSED, {'open': 2}" in stalled_lines(stalled)
