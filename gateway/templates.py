"""Path templates of `google.api.http`: `/a/{b}/c/{d=e/*}/**:verb`."""

import re
from dataclasses import dataclass

_LITERAL = re.compile(r"[^/{}*:=]+")
_FIELD_PATH = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*(\.[a-zA-Z_][a-zA-Z0-9_]*)*")

ANY = "*"
REST = "**"


class TemplateError(ValueError):
    """A path template is not valid; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Variable:
    """Which segments a field takes its value from: `[start, end)`, or all from `start` on if `end` is None."""

    field_path: str
    start: int
    end: int | None
    single: bool


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template. `segments` holds literals, `*` and, only as the last one, `**`."""

    text: str
    segments: tuple[str, ...]
    verb: str
    variables: tuple[Variable, ...]


def parse(text: str) -> Template:
    """Parse a template. Raise TemplateError if it breaks the grammar of google.api.http."""
    if not text.startswith("/"):
        raise TemplateError(f"{text!r} does not begin with a slash")
    path, verb = _split_verb(text)
    segments: list[str] = []
    variables: list[Variable] = []
    position = 1
    while position < len(path):
        if path[position] == "{":
            closing = path.find("}", position)
            if closing < 0:
                raise TemplateError(f"{text!r} has an unclosed brace")
            variable, inner = _variable(text, path[position + 1 : closing], len(segments))
            variables.append(variable)
            segments.extend(inner)
            position = closing + 1
        else:
            end = path.find("/", position)
            end = len(path) if end < 0 else end
            segments.append(_segment(text, path[position:end]))
            position = end
        if position < len(path):
            if path[position] != "/" or position == len(path) - 1:
                raise TemplateError(f"{text!r} has a segment that is not literal, `*`, `**` or a variable")
            position += 1
    if REST in segments[:-1]:
        raise TemplateError(f"{text!r} has `**` before its last segment")
    names = [variable.field_path for variable in variables]
    if len(set(names)) != len(names):
        raise TemplateError(f"{text!r} binds a field twice")
    return Template(text, tuple(segments), verb, tuple(variables))


def _split_verb(text: str) -> tuple[str, str]:
    tail = max(text.rfind("/"), text.rfind("}"))
    colon = text.find(":", tail)
    if colon < 0:
        return text, ""
    verb = text[colon + 1 :]
    if not _LITERAL.fullmatch(verb):
        raise TemplateError(f"{text!r} has no valid verb after its colon")
    return text[:colon], verb


def _variable(text: str, content: str, start: int) -> tuple[Variable, list[str]]:
    name, equals, pattern = content.partition("=")
    if not _FIELD_PATH.fullmatch(name):
        raise TemplateError(f"{text!r} has a variable {name!r} that is not a field path")
    segments = [_segment(text, part) for part in (pattern if equals else ANY).split("/")]
    end = None if segments[-1] == REST else start + len(segments)
    return Variable(name, start, end, segments == [ANY]), segments


def _segment(text: str, part: str) -> str:
    if part in (ANY, REST) or _LITERAL.fullmatch(part):
        return part
    raise TemplateError(f"{text!r} has an invalid segment {part!r}")
