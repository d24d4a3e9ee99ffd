"""The ASGI application, wired."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response

from gateway import problems
from gateway.cors import CorsPolicy
from gateway.docs import DocumentationPages
from gateway.edge import Edge, Exchange
from gateway.health import HealthPages
from gateway.problems import Problem
from gateway.site import Site, shipped_descriptors
from gateway.streaming import OpenStreams
from gateway.transcoding import Transcoding
from services.runtime.auth import Keys, TokenVerifier
from services.runtime.settings import Settings


def build_app(settings: Settings) -> Starlette:
    """The gateway for the backends of the settings. Its lifespan owns their channels.

    Raise DuplicateRoute or ContractError, here or when the lifespan begins, if annotations cannot be served.
    `app.state.streams` is the OpenStreams to stop before the server stops.
    """
    site = Site(settings.backend_addresses, shipped_descriptors())
    streams = OpenStreams()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with site:
            yield
        streams.stop()

    health, documentation = HealthPages(site), DocumentationPages(site)
    app = Starlette(routes=[*health.routes(), *documentation.routes()], lifespan=lifespan)
    app.router.redirect_slashes = False
    # Put together here: Starlette would have its own layer for what is unforeseen around Edge, which needs none.
    app.middleware_stack = Edge(
        Transcoding(
            ExceptionMiddleware(app.router, handlers={HTTPException: _as_problem}),
            routes=lambda: site.routes,
            verifier=TokenVerifier(Keys.of(settings)),
            streams=streams,
        ),
        cors=CorsPolicy(settings.cors_origin_list),
    )
    app.state.streams = streams
    app.state.site = site
    return app


async def _as_problem(request: Request, error: Exception) -> Response:
    """What Starlette's router refuses, in our words."""
    assert isinstance(error, HTTPException)
    problem = _problem_of(error)
    exchange = Exchange.of(request.scope)
    exchange.reason = problem.reason
    headers = {name.decode(): value.decode() for name, value in problem.response_headers()}
    return Response(problem.json(exchange.trace_id), problem.status, headers)


def _problem_of(error: HTTPException) -> Problem:
    if error.status_code == 405:
        return problems.wrong_method(sorted((error.headers or {}).get("Allow", "GET").split(", ")))
    if error.status_code == 404:
        return problems.no_route()
    return problems.malformed("BAD_REQUEST", error.detail)
