"""How tests are shared out when several workers play them, as in `make test`."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.e2e.suite import Layout


class ByFileAndLayout(LoadScopeScheduling):
    """A worker gets the tests of a whole file, which may share servers, or those of it that are of one layout.

    Whoever has hardly any left gets the next, in the order of the collection.
    """

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        # Theirs, by the number of tests, would have each worker start the suite on one layout and the other in turn.
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        layout = next((each for each in Layout if each in test), "any layout")
        return f"{file} on {layout}"
