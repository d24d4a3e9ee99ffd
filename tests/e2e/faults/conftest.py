"""What both lists of faults share."""

from collections.abc import Iterator

import pytest

from tests.e2e.faults.tally import Tally


@pytest.fixture(scope="module")
def tally() -> Iterator[Tally]:
    """Printed after the last fault: `-s` shows it."""
    kept = Tally()
    yield kept
    print(kept.text())
