"""The documentation pages load without the internet."""

import re
from html.parser import HTMLParser

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.e2e.client import answer
from tests.e2e.suite import Suite


class Links(HTMLParser):
    """What a page makes the browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag != "a":
            self.urls += [values[name] or "" for name in ("src", "href", "spec-url") if name in values]


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_page_loads_nothing_from_elsewhere(suite: Suite, page: str) -> None:
    async with httpx.AsyncClient(base_url=suite.url, timeout=30) as browser:
        html = (await browser.get(page, follow_redirects=True)).raise_for_status().text
        links = Links()
        links.feed(html)
        assert any(url.endswith(".js") for url in links.urls)
        assert re.findall(r"https?://[^\s\"'<>]+", html) == []
        for url in links.urls:
            assert not url.startswith("//")
            loaded = await browser.get(httpx.URL(suite.url).join(url), follow_redirects=True)
            assert loaded.status_code == 200, url
            assert loaded.content


async def test_openapi_description_is_valid_3_1_and_says_what_routes_do(suite: Suite) -> None:
    async with httpx.AsyncClient(base_url=suite.url, timeout=30) as browser:
        described = await answer(browser.get("/openapi.json"))
    assert described["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(described).validate()
    operations = [operation for item in described["paths"].values() for operation in item.values()]
    assert len(operations) > 20
    assert [each for each in operations if isinstance(each, dict) and not each.get("summary")] == []


async def test_health_and_readiness_are_open_to_all(suite: Suite) -> None:
    async with httpx.AsyncClient(base_url=suite.url, timeout=30) as nobody:
        assert (await answer(nobody.get("/health")))["version"]
        ready = await answer(nobody.get("/ready"))
    assert ready["status"] == "ready"
    assert ready["checks"]
