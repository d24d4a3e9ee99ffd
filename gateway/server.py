"""The gateway as a server that its owner starts and stops."""

import asyncio
import contextlib
from collections.abc import Generator

import structlog
import uvicorn
from starlette.applications import Starlette

from gateway.app import build_app
from gateway.connections import HttpConnection
from gateway.contract import ContractError
from gateway.routes import DuplicateRoute
from services.runtime.errors import StartupError
from services.runtime.ports import listen
from services.runtime.settings import Settings

log = structlog.get_logger()

# Beyond what proxies and load balancers keep an idle connection (usually 60 s): they, not we, should close it.
_KEEP_ALIVE_SECONDS = 75
# How long streams may take to be ended by their services, which may be stopping too.
_STREAMS_END_SECONDS = 1.0


class GatewayServer:
    """The gateway on `host:http_port`. It takes no signals: whoever embeds it calls `stop`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._app: Starlette | None = None
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._resources = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Listen. Raise StartupError if the port is taken or the backends' annotations cannot be served."""
        listener = listen("the gateway", self._settings.host, self._settings.http_port, "CODELAB_HTTP_PORT")
        try:
            self._app = build_app(self._settings)
            # Entered here and not by uvicorn, which would turn what it raises into a traceback.
            await self._resources.enter_async_context(self._app.router.lifespan_context(self._app))
        except (DuplicateRoute, ContractError) as error:
            listener.close()
            raise StartupError(f"the gateway cannot serve what its backends describe: {error}") from None
        except BaseException:
            listener.close()
            raise
        self._server = _Server(
            uvicorn.Config(
                self._app,
                http=HttpConnection,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                log_level="error",
                server_header=False,
                # Nothing here asks for the client's address or scheme.
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            )
        )
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name="gateway http")
        # uvicorn has a flag for it and no event.
        while not self._server.started and not self._serving.done():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        if self._serving.done():
            await self._serving
        log.debug("gateway started", address=f"{self._settings.host}:{self._settings.http_port}")

    async def stop(self, grace: float | None = None) -> None:
        """Take no more requests, end open streams, let others finish within `grace` seconds, close the channels."""
        if self._app is not None and self._server is not None and self._serving is not None:
            self._server.config.timeout_graceful_shutdown = max(1, round(grace or self._settings.drain_seconds))
            self._server.should_exit = True
            await self._app.state.streams.end(_STREAMS_END_SECONDS)
            await self._serving
        await self._resources.aclose()
        log.debug("gateway stopped")


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals belong to whoever embeds the server."""
        yield
