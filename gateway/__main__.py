"""Run the gateway alone: `python -m gateway`."""

import asyncio
import signal
import sys

from gateway.server import GatewayServer
from services.runtime.errors import StartupError
from services.runtime.settings import Settings
from services.runtime.telemetry import configure_logging


async def run(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM, then stop in order."""
    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked_to_stop.set)
    server = GatewayServer(settings)
    await server.start()
    await asked_to_stop.wait()
    await server.stop()


def main() -> None:
    """Read the settings and run; what prevents the start is one line on stderr."""
    try:
        settings = Settings.load()
        configure_logging(settings, "gateway")
        asyncio.run(run(settings))
    except StartupError as error:
        sys.exit(f"codelab: {error}")


if __name__ == "__main__":
    main()
