"""The way in at `/`, `/openapi.json`, Swagger UI at `/docs` and ReDoc at `/redoc`, loading nothing from elsewhere."""

import importlib.util
from pathlib import Path

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from gateway.health import Page, json_response, page
from gateway.negotiation import best_media_type
from gateway.openapi import document
from gateway.site import Routes, Site
from services.runtime.version import package_version

_ASSETS = "/docs/assets"
_PLACES = {
    "docs": "/docs",
    "reference": "/redoc",
    "openapi": "/openapi.json",
    "health": "/health",
    "ready": "/ready",
}
# The pages can load nothing from elsewhere, whatever their scripts would like to (ReDoc has a logo on a CDN).
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
_HEADERS = {"content-security-policy": _POLICY, "referrer-policy": "no-referrer"}

_SWAGGER = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>CodeLab Core: API</title>
<link rel="icon" href="{_ASSETS}/favicon.png">
<link rel="stylesheet" href="{_ASSETS}/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{_ASSETS}/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_SWAGGER_START = """window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""
_REDOC = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>CodeLab Core: API reference</title>
<link rel="icon" href="{_ASSETS}/favicon.png">
<style>body {{ margin: 0 }}</style>
</head>
<body>
<div id="redoc"></div>
<script src="{_ASSETS}/redoc.standalone.js"></script>
<script src="/redoc/start.js"></script>
</body>
</html>
"""
_REDOC_START = """Redoc.init("/openapi.json", {disableGoogleFont: true, hideDownloadButton: false},
  document.getElementById("redoc"));
"""
_MISSING = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>CodeLab Core: API</title></head>
<body>
<h1>The viewer is not installed</h1>
<p>The API is described in <a href="/openapi.json">/openapi.json</a>. To read it here, install the viewer's files:</p>
<pre>pip install --no-deps --require-hashes -r requirements-assets.lock</pre>
</body>
</html>
"""


class DocumentationPages:
    """The pages, for a site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._described: Routes | None = None
        self._document = b""
        self._assets = _assets()

    def routes(self) -> list[BaseRoute]:
        """The pages' routes."""
        routes = [
            *page("/", self._home),
            *page("/openapi.json", self._openapi),
            *page("/docs", self._viewer(_SWAGGER)),
            *page("/docs/start.js", _script(_SWAGGER_START)),
            *page("/redoc", self._viewer(_REDOC)),
            *page("/redoc/start.js", _script(_REDOC_START)),
        ]
        if self._assets is not None:
            routes += [
                *page("/favicon.ico", self._favicon),
                Mount(_ASSETS, StaticFiles(directory=self._assets)),
            ]
        return routes

    async def _home(self, request: Request) -> Response:
        # Who has no preference is a program: browsers name what they like best.
        accepted = ",".join(request.headers.getlist("accept"))
        if best_media_type(accepted, ("application/json", "text/html")) == "text/html":
            answer: Response = RedirectResponse("/docs", 307)
        else:
            answer = json_response({"name": "CodeLab Core", "version": package_version(), **_PLACES})
        answer.headers["vary"] = "accept"
        return answer

    async def _favicon(self, _: Request) -> Response:
        return RedirectResponse(f"{_ASSETS}/favicon.png", 307)

    async def _openapi(self, _: Request) -> Response:
        routes = self._site.routes
        if routes is not self._described:
            bindings = [endpoint.binding for endpoint in routes.endpoints]
            self._document = orjson.dumps(document(bindings, self._site.comments, package_version()))
            self._described = routes
        return Response(self._document, 200, {"cache-control": "no-cache"}, "application/json")

    def _viewer(self, html: str) -> Page:
        async def answer(_: Request) -> Response:
            return HTMLResponse(html if self._assets is not None else _MISSING, headers=_HEADERS)

        return answer


def _script(text: str) -> Page:
    async def answer(_: Request) -> Response:
        return Response(text, media_type="text/javascript")

    return answer


def _assets() -> Path | None:
    """The folder with the viewers' files. The package is only looked for: importing it would import FastAPI."""
    found = importlib.util.find_spec("fastapi_offline")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "static"
    return folder if (folder / "swagger-ui-bundle.js").is_file() else None
