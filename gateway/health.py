"""`/health`: the gateway lives. `/ready`: what lies behind it can serve."""

from collections.abc import Awaitable, Callable, Mapping

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway.backends import check_all
from gateway.edge import Exchange
from gateway.site import Site
from services.runtime.version import package_version

Page = Callable[[Request], Awaitable[Response]]

_NO_STORE = {"cache-control": "no-store"}


def overall(checks: Mapping[str, str]) -> str:
    """`ready` if every backend is, `unavailable` if none is, else `degraded`."""
    ready = sum(1 for state in checks.values() if state == "ready")
    if ready == len(checks):
        return "ready"
    return "degraded" if ready else "unavailable"


class HealthPages:
    """The two pages, for a site."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[BaseRoute]:
        """The pages' routes."""
        return [*page("/health", self.health), *page("/ready", self.ready)]

    async def health(self, request: Request) -> Response:
        """Always 200: a gateway that answers lives."""
        Exchange.of(request.scope).quiet = True
        return json_response({"status": "ok", "version": package_version()})

    async def ready(self, request: Request) -> Response:
        """`{status, checks{}}`, a check by backend address; 503 when none of them is ready."""
        Exchange.of(request.scope).quiet = True
        checks = await check_all(self._site.backends)
        status = overall(checks)
        return json_response({"status": status, "checks": checks}, 503 if status == "unavailable" else 200)


def json_response(value: object, status: int = 200) -> Response:
    """A JSON answer that nobody keeps."""
    return Response(orjson.dumps(value), status, _NO_STORE, "application/json")


def page(path: str, answer: Page) -> list[BaseRoute]:
    """Routes of a page that is read; its trailing slash is optional, like everybody's here."""
    paths = [path] if path.endswith("/") else [path, f"{path}/"]
    return [Route(each, answer, methods=["GET"]) for each in paths]
