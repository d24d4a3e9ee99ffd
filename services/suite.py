"""The whole suite on one machine: every service and the gateway, in this process or in one each."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from http.client import HTTPException
from urllib.request import ProxyHandler, build_opener

import structlog

from gateway.__main__ import running as gateway
from services.agents.__main__ import running as agents
from services.orchestrator.__main__ import running as orchestrator
from services.projects.__main__ import running as projects
from services.runtime.calls.neighbours import together
from services.runtime.data_folder import DataFolder
from services.runtime.errors import StartupError
from services.runtime.ports import listen
from services.runtime.settings import SERVICES, Settings
from services.streams.__main__ import running as streams

log = structlog.get_logger()

# What runs on this machine is not asked through the proxy of the environment.
_DIRECTLY = build_opener(ProxyHandler({}))

# Callees first, so that what a crash left finds whom to call; stopped in the opposite order.
_IN_ORDER = (streams, agents, orchestrator, projects)


@contextmanager
def claimed(settings: Settings) -> Iterator[None]:
    """Hold the data folder as its one suite, which `make down` finds by `suite.pid`. Raise StartupError."""
    if not settings.reflection:
        raise StartupError("CODELAB_REFLECTION: the gateway learns its routes by it: unset it to run the whole suite")
    folder = DataFolder(settings.data_dir)
    folder.lock("suite")
    pid_file = settings.data_dir / "suite.pid"
    try:
        pid_file.write_text(f"{os.getpid()}\n")
        yield
    finally:
        pid_file.unlink(missing_ok=True)
        folder.release()


@asynccontextmanager
async def in_one_process(settings: Settings) -> AsyncIterator[None]:
    """Every service and the gateway on this event loop, ready while the block runs. They call each other directly."""
    async with AsyncExitStack() as stack:
        stack.enter_context(together())
        servers = [await stack.enter_async_context(running(settings)) for running in _IN_ORDER]
        await stack.enter_async_context(gateway(settings))
        await _until_ready(settings)
        yield
        # Streams say goodbye while there is still a gateway to carry it.
        await asyncio.gather(*(server.drain() for server in servers))


@asynccontextmanager
async def in_many_processes(settings: Settings) -> AsyncIterator[None]:
    """A process for each service and the gateway. If one ends by itself, so do all, and this process with an error."""
    _refuse_what_is_taken(settings)
    commands = [*(("serve", service) for service in SERVICES), ("gateway",)]
    children = {" ".join(command): await _spawn(*command) for command in commands}
    watching = asyncio.create_task(_first_to_end(children), name="watch processes")
    try:
        await _until_ready(settings, unless=watching)
        # Whoever waits for a signal to stop is also told by one when there is nothing left to wait for.
        watching.add_done_callback(_stop_this_process)
        yield
        if watching.done():
            raise StartupError(watching.result())
    finally:
        watching.cancel()
        for child in children.values():
            if child.returncode is None:
                child.send_signal(signal.SIGTERM)
        await asyncio.gather(*(_ended(child, settings.drain_seconds + 5) for child in children.values()))


def _stop_this_process(watching: asyncio.Task[str]) -> None:
    if not watching.cancelled():
        os.kill(os.getpid(), signal.SIGTERM)


def _refuse_what_is_taken(settings: Settings) -> None:
    """Raise StartupError if the children cannot have their data or their ports.

    They would say so themselves, all at once; and whoever has the ports would be taken for them, and be ready already.
    """
    folder = DataFolder(settings.data_dir)
    for offset, service in enumerate(SERVICES):
        folder.lock(service)
        listen(service, settings.host, settings.grpc_port_base + offset, "CODELAB_GRPC_PORT_BASE").close()
    folder.release()
    listen("the gateway", settings.host, settings.http_port, "CODELAB_HTTP_PORT").close()


async def _spawn(*arguments: str) -> asyncio.subprocess.Process:
    # A session of its own: Ctrl-C reaches the parent alone, which then ends its children in order.
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", *arguments, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
    )


async def _first_to_end(children: dict[str, asyncio.subprocess.Process]) -> str:
    """Wait until a child ends; say which."""
    waits = {asyncio.create_task(child.wait(), name=name): name for name, child in children.items()}
    try:
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        return "; ".join(f"`codelab {waits[each]}` ended with code {each.result()}" for each in done)
    finally:
        for each in waits:
            each.cancel()


async def _until_ready(settings: Settings, unless: asyncio.Task[str] | None = None) -> None:
    """Return when the gateway calls the suite ready. Raise StartupError with what `unless` says if that ends first."""
    while not await asyncio.to_thread(_is_ready, settings):
        if unless is not None and unless.done():
            raise StartupError(unless.result())
        await asyncio.sleep(0.05)


def _is_ready(settings: Settings) -> bool:
    try:
        with _DIRECTLY.open(f"{settings.local_url}/ready", timeout=5) as answer:
            return bool(json.load(answer)["status"] == "ready")
    except (OSError, HTTPException):
        return False


async def _ended(child: asyncio.subprocess.Process, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await child.wait()
    except TimeoutError:
        log.error("a process did not end and is killed", pid=child.pid)
        child.kill()
        await child.wait()
