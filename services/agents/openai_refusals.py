"""What models refused to be told, and are asked without for a while."""

import time
from collections.abc import Callable

import structlog

log = structlog.get_logger()

KEPT_SECONDS = 600.0
"""How long a refusal holds. A server is started anew with what it lacked, or another model is put under the name; until
that is noticed an agent does without its tools. Where nothing has changed, it costs one refused call in so long."""


class Refusals:
    """Parameters by model. `clock` gives seconds that only go forward."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, dict[str, float]] = {}

    def add(self, model: str, parameter: str) -> None:
        """The model has just refused to be told this."""
        log.warning("model is asked without what it does not take", model=model, parameter=parameter)
        self._until.setdefault(model, {})[parameter] = self._clock() + KEPT_SECONDS

    def of(self, model: str) -> frozenset[str]:
        """What the model is not told now."""
        now = self._clock()
        return frozenset(parameter for parameter, until in self._until.get(model, {}).items() if now < until)
