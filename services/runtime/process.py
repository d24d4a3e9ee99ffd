"""A process of the suite: settings, logs, signals, and an orderly end."""

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import structlog

from services.runtime import event_loop
from services.runtime.dotenv import DOTENV, read_dotenv
from services.runtime.errors import StartupError
from services.runtime.settings import Settings, unknown_variables
from services.runtime.telemetry import configure_logging

log = structlog.get_logger()

# Objects made and not yet gone, before cycles are looked for. Python's own 700 would look through thousands of streams'
# tasks and frames all the time, and find next to nothing.
_COLLECT_AFTER = 20_000

Running = Callable[[Settings], AbstractAsyncContextManager[Any]]


def main(name: str, running: Running) -> None:
    """Run `running` until SIGTERM or SIGINT; exit 0 after an orderly end.

    What prevents the start is one line on stderr and exit 1, never a traceback.
    """
    try:
        settings = configured(name)
        event_loop.run(until_stopped(running, settings))
    except StartupError as error:
        sys.exit(f"codelab: {error}")


def configured(name: str) -> Settings:
    """Load the settings and begin to log, under the name of the process. Raise StartupError."""
    dotenv = read_dotenv()
    settings = Settings.load(dotenv=dotenv)
    configure_logging(settings, name)
    # Not refused: an orchestrator of containers adds variables of its own, named after its services.
    if misspelt := misspelt_variables(dotenv):
        log.warning("no settings have these names", variables=misspelt)
    return settings


def misspelt_variables(dotenv: Mapping[str, str]) -> list[str]:
    """Names in the environment and in `.env` that look like settings and are none, in words."""
    unknown = list(unknown_variables().items())
    unknown += [(f"{name} in {DOTENV}", near) for name, near in unknown_variables(dotenv).items()]
    return [f"{name} (did you mean {near}?)" if near else name for name, near in unknown]


async def until_stopped(running: Running, settings: Settings) -> None:
    """Enter `running`, wait for a signal, leave it.

    A signal that comes before it is entered ends the entering. A second signal ends the process at once.
    """
    stopped = asyncio.Event()
    entered = False
    loop = asyncio.get_running_loop()
    this_task = asyncio.current_task()
    assert this_task is not None

    def stop(number: signal.Signals) -> None:
        log.info("stopping", signal=number.name)
        stopped.set()
        # Whoever asks twice does not want to wait for the drain, nor to read a KeyboardInterrupt's traceback.
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        if not entered:
            this_task.cancel()

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop, each)
    try:
        async with running(settings):
            entered = True
            _spare_the_collector()
            log.info("started")
            await stopped.wait()
    except asyncio.CancelledError:
        if entered or not stopped.is_set():
            raise


def _spare_the_collector() -> None:
    """Let what was made until now, which stays, not be looked through for cycles again, and the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
