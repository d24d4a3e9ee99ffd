"""The gateway as a process: `python -m gateway`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.server import GatewayServer
from services.runtime.process import main
from services.runtime.settings import Settings


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[GatewayServer]:
    """The gateway, listening while the block runs. Raise StartupError."""
    server = GatewayServer(settings)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


if __name__ == "__main__":
    main("gateway", running)
