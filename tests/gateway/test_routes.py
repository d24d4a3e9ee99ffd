"""Which RPC a method and a path mean."""

import pytest

from gateway.routes import DuplicateRoute, MalformedPath, Match, RouteTable, WrongMethod
from gateway.templates import TemplateError, parse

ROUTES = [
    ("GET", "/a/{x}"),
    ("DELETE", "/a/{x}"),
    ("GET", "/a/b"),
    ("GET", "/a/{x}/c"),
    ("POST", "/a/b/d"),
    ("POST", "/a/{x}/e"),
    ("POST", "/a/{x}:go"),
    ("POST", "/a:go"),
    ("POST", "/a/{x}/m:stream"),
    ("POST", "/a/{x}/m"),
    ("GET", "/files/{path=**}"),
    ("GET", "/files/{path=**}:stat"),
    ("GET", "/one/{name=shelf/*}/two"),
    ("GET", "/one/{name=shelf/*/box/*}"),
    ("GET", "/star/*/end"),
    ("GET", "/"),
]


@pytest.fixture(scope="module")
def table() -> RouteTable[str]:
    table: RouteTable[str] = RouteTable()
    for method, text in ROUTES:
        table.add(method, parse(text), f"{method} {text}")
    return table


@pytest.mark.parametrize(
    ("method", "path", "target", "variables"),
    [
        ("GET", "/a/z", "GET /a/{x}", {"x": "z"}),
        ("GET", "/a/z/", "GET /a/{x}", {"x": "z"}),
        ("GET", "/a/b", "GET /a/b", {}),
        ("HEAD", "/a/b", "GET /a/b", {}),
        # The literal does not know DELETE, the variable does.
        ("DELETE", "/a/b", "DELETE /a/{x}", {"x": "b"}),
        # The literal way ends nowhere: back to the variable.
        ("GET", "/a/b/c", "GET /a/{x}/c", {"x": "b"}),
        ("POST", "/a/b/d", "POST /a/b/d", {}),
        ("POST", "/a/b/e", "POST /a/{x}/e", {"x": "b"}),
        ("POST", "/a/z:go", "POST /a/{x}:go", {"x": "z"}),
        ("POST", "/a/z:go/", "POST /a/{x}:go", {"x": "z"}),
        ("POST", "/a/y:z:go", "POST /a/{x}:go", {"x": "y:z"}),
        ("POST", "/a:go", "POST /a:go", {}),
        ("POST", "/a/z/m:stream", "POST /a/{x}/m:stream", {"x": "z"}),
        ("POST", "/a/z/m", "POST /a/{x}/m", {"x": "z"}),
        # A verb that nobody has is part of the value; an encoded colon is no verb.
        ("GET", "/a/z:else", "GET /a/{x}", {"x": "z:else"}),
        ("GET", "/a/z%3Ago", "GET /a/{x}", {"x": "z:go"}),
        ("GET", "/a/:go", "GET /a/{x}", {"x": ":go"}),
        ("GET", "/a/y%2Fz", "GET /a/{x}", {"x": "y/z"}),
        ("GET", "/a/y%252Fz", "GET /a/{x}", {"x": "y%2Fz"}),
        ("GET", "/a/%C3%A9+", "GET /a/{x}", {"x": "é+"}),
        ("GET", "/%61/b", "GET /a/b", {}),
        ("GET", "/files/x/y/z", "GET /files/{path=**}", {"path": "x/y/z"}),
        ("GET", "/files/x%2Fy/z", "GET /files/{path=**}", {"path": "x%2Fy/z"}),
        ("GET", "/files", "GET /files/{path=**}", {"path": ""}),
        ("GET", "/files/x/y:stat", "GET /files/{path=**}:stat", {"path": "x/y"}),
        ("GET", "/one/shelf/3/two", "GET /one/{name=shelf/*}/two", {"name": "shelf/3"}),
        ("GET", "/one/shelf/3/box/4", "GET /one/{name=shelf/*/box/*}", {"name": "shelf/3/box/4"}),
        ("GET", "/star/any/end", "GET /star/*/end", {}),
        ("GET", "/", "GET /", {}),
    ],
)
def test_path_means_its_most_literal_route(
    table: RouteTable[str], method: str, path: str, target: str, variables: dict[str, str]
) -> None:
    found = table.match(method, path)
    assert isinstance(found, Match)
    assert (found.target, found.variables) == (target, variables)


@pytest.mark.parametrize("path", ["/b", "/a", "/a//", "/a//c", "/a/z/c/d", "/one/shelf//two", "/star//end", "/A/b"])
def test_path_that_nobody_has_is_unknown(table: RouteTable[str], path: str) -> None:
    assert table.match("GET", path) is None


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/a/z", ("DELETE", "GET", "HEAD", "OPTIONS")),
        ("POST", "/a/b", ("DELETE", "GET", "HEAD", "OPTIONS")),
        ("GET", "/a/z:go", ("OPTIONS", "POST")),
        ("GET", "/a/z/m:stream", ("OPTIONS", "POST")),
        ("OPTIONS", "/files/q", ("GET", "HEAD", "OPTIONS")),
    ],
)
def test_known_path_with_another_method_says_what_it_takes(
    table: RouteTable[str], method: str, path: str, allowed: tuple[str, ...]
) -> None:
    assert table.match(method, path) == WrongMethod(allowed)


@pytest.mark.parametrize("path", ["/a/%FF", "/a/%C3", "/files/x/%80/y", "/a/%ED%A0%80"])
def test_path_that_is_not_utf8_is_refused(table: RouteTable[str], path: str) -> None:
    with pytest.raises(MalformedPath):
        table.match("GET", path)


@pytest.mark.parametrize(
    ("first", "second"),
    [("/a/{x}", "/a/{y}"), ("/a/{x=*}", "/a/{y}"), ("/a/{x=b/*}", "/a/b/{y}"), ("/a/{x}:go", "/a/{y}:go")],
)
def test_equivalent_templates_of_one_method_are_refused(first: str, second: str) -> None:
    table: RouteTable[str] = RouteTable()
    table.add("GET", parse(first), "First.Rpc")
    table.add("POST", parse(second), "Other.Method")
    with pytest.raises(DuplicateRoute, match=r"First\.Rpc and by Second\.Rpc"):
        table.add("GET", parse(second), "Second.Rpc")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "/a//b",
        "/a/",
        "/{x",
        "/{}",
        "/{x=}",
        "/{1x}",
        "/**/a",
        "/{x=**}/a",
        "/a:",
        "/a:b:c",
        "/a{x}",
        "/{x}b",
        "/{x}/{x}",
    ],
)
def test_invalid_template_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        parse(text)
