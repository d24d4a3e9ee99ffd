"""The bench of tokens works: every answer arrives whole, and it says what its tokens cost."""

import pytest

from tests.bench.tokens import measure, table
from tests.e2e.suite import Layout

pytestmark = pytest.mark.longer


async def test_bench_tells_what_tokens_cost_on_their_way() -> None:
    report = await measure(Layout.ONE, levels=(3,), tokens=240, alone=1, few=2)
    assert [crowd.at_once for crowd in (report.few, *report.crowds)] == [2, 3]
    assert all(crowd.cpu_us > 0 and crowd.of_model_p50 >= 1 for crowd in (report.few, *report.crowds))
    assert report.first_ms_p50 > 0, "no text before the model's own"
    assert "40 answers at once: MISSED" in table("", report)
