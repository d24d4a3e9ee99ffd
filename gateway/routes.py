"""Which binding a method and a path mean.

The leftmost literal beats a variable, with backtracking; the method and the `:verb` take part in matching.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote

from gateway.templates import ANY, REST, Template

Target = TypeVar("Target")


class DuplicateRoute(Exception):
    """Two targets claim one method and one template."""


class MalformedPath(ValueError):
    """The path's percent-encoding is not UTF-8."""


@dataclass(frozen=True, slots=True)
class Match(Generic[Target]):
    """What a request means: a target, and the text of each of its template's variables by field path."""

    target: Target
    variables: dict[str, str]


@dataclass(frozen=True, slots=True)
class WrongMethod:
    """The path exists with other methods only."""

    allowed: tuple[str, ...]


@dataclass(slots=True)
class _Node(Generic[Target]):
    literals: "dict[str, _Node[Target]]" = field(default_factory=dict)
    any: "_Node[Target] | None" = None
    rest: "_Node[Target] | None" = None
    # verb -> method -> what is there
    ends: dict[str, dict[str, tuple[Template, Target]]] = field(default_factory=dict)


class RouteTable(Generic[Target]):
    """Routes by method and template. Adding is for the start; matching is the hot path."""

    def __init__(self) -> None:
        self._root: _Node[Target] = _Node()
        self._verbs: set[str] = set()

    def add(self, method: str, template: Template, target: Target) -> None:
        """Add a route. Raise DuplicateRoute if the method has an equivalent template already."""
        node = self._root
        for segment in template.segments:
            if segment == ANY:
                node.any = node.any or _Node()
                node = node.any
            elif segment == REST:
                node.rest = node.rest or _Node()
                node = node.rest
            else:
                node = node.literals.setdefault(segment, _Node())
        methods = node.ends.setdefault(template.verb, {})
        if method in methods:
            raise DuplicateRoute(f"{method} {template.text} is claimed by {methods[method][1]} and by {target}")
        methods[method] = (template, target)
        if template.verb:
            self._verbs.add(template.verb)

    def match(self, method: str, path: str) -> Match[Target] | WrongMethod | None:
        """Find a route for a path that is still percent-encoded, without its query.

        One trailing slash is optional. A HEAD finds the GET. None: no method knows the path.
        Raise MalformedPath if a segment does not decode to UTF-8.
        """
        raw = path[1:-1] if path.endswith("/") and len(path) > 1 else path[1:]
        segments = raw.split("/") if raw else []
        last = segments[-1] if segments else ""
        # Split off the verb before decoding: an encoded colon belongs to the segment.
        head, colon, verb = last.rpartition(":")
        if "%" in raw:
            segments = [_decode(segment) for segment in segments]
        if colon and head and verb in self._verbs:
            found = self._find(method, [*segments[:-1], _decode(head)], verb)
            if found is not None:
                return found
        return self._find(method, segments, "")

    def allowed(self, path: str) -> tuple[str, ...]:
        """The methods that a path knows, sorted; HEAD where GET is."""
        found = self.match("", path)
        return found.allowed if isinstance(found, WrongMethod) else ()

    def _find(self, method: str, segments: list[str], verb: str) -> Match[Target] | WrongMethod | None:
        known: set[str] = set()
        for node in _walk(self._root, segments, 0):
            methods = node.ends.get(verb)
            if not methods:
                continue
            found = methods.get(method)
            if found is None and method == "HEAD":
                found = methods.get("GET")
            if found is not None:
                template, target = found
                return Match(target, _variables(template, segments))
            known.update(methods)
        if not known:
            return None
        if "GET" in known:
            known.add("HEAD")
        return WrongMethod(tuple(sorted(known | {"OPTIONS"})))


def _walk(node: _Node[Target], segments: list[str], index: int) -> Iterator[_Node[Target]]:
    """Yield every node that the segments lead to, the most literal way first."""
    if index == len(segments):
        yield node
    else:
        segment = segments[index]
        literal = node.literals.get(segment)
        if literal is not None:
            yield from _walk(literal, segments, index + 1)
        # An empty segment (`//`) is nobody's value.
        if node.any is not None and segment:
            yield from _walk(node.any, segments, index + 1)
    if node.rest is not None:
        yield node.rest


def _variables(template: Template, segments: list[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for variable in template.variables:
        if variable.single:
            values[variable.field_path] = segments[variable.start]
        else:
            # A slash that was encoded stays encoded, else it could not be told from one that separates.
            parts = segments[variable.start : variable.end]
            values[variable.field_path] = "/".join(part.replace("/", "%2F") for part in parts)
    return values


def _decode(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError as error:
        raise MalformedPath(f"path segment {segment!r} is not percent-encoded UTF-8") from error
