"""One HTTP binding, compiled: path, query, headers and JSON to its request message, its response message to JSON."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway.contract import (
    FIELD_MASK,
    WELL_KNOWN,
    Binding,
    field_at,
    field_with,
    is_map,
    is_output_only,
    is_plain_message,
    message_of,
    rules_of,
    tag_of,
)
from gateway.decode import Decoders, mask_paths
from gateway.encode import Encode, Encoders
from gateway.faults import Fault, Faults, Refused, WrongType
from gateway.scalars import Parse, parse_duration, parse_timestamp, text_parser

_MAX_PARAMETERS = 500
# What may be so long is what somebody wrote, like a body, and not for logs.
_A_TEXT = 1_000
# Deep enough for any filter; a type that contains itself must end somewhere.
_MAX_PARAMETER_DEPTH = 4
_MASKED_METHODS = ("PUT", "PATCH")
_TEXT_MESSAGES: dict[str, Callable[[Any], tuple[int, int]]] = {
    f"{WELL_KNOWN}Timestamp": parse_timestamp,
    f"{WELL_KNOWN}Duration": parse_duration,
}


class BadInput(Exception):
    """The request cannot be understood, or values of it are refused."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.detail}" for fault in faults))
        self.faults = faults


class NoSuchResource(Exception):
    """A path segment is nothing that its variable can hold, so nothing can be there."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter: the request field it fills and how its text is read."""

    name: str
    field: FieldDescriptor
    secret: bool


class Transcoder:
    """Translates for one binding."""

    def __init__(self, binding: Binding, encoders: Encoders, decoders: Decoders) -> None:
        request = binding.rpc.method.input_type
        self.binding = binding
        self.parameters = {each.name: each for each in query_parameters(binding)}
        self.idempotency_field = field_with(request, "idempotency_key")
        self.cursor_field = field_with(request, "cursor")
        self._secrets = [name for name, each in self.parameters.items() if each.secret]
        self._texts = [name for name, each in self.parameters.items() if rules_of(each.field).max_length >= _A_TEXT]
        self._decoders = decoders
        self._path_parsers = [
            (variable.field_path, _text_setter(request, variable.field_path)) for variable in binding.template.variables
        ]
        self._query_setters = {name: _text_setter(request, name) for name in self.parameters}
        mask = mask_field(binding)
        self._mask = mask.name if mask is not None else ""
        self._hidden = hidden_fields(binding)
        self._body_type = binding.rpc.method.input_type
        field = binding.request_body
        if field is not None and field.message_type is not None:
            self._body_type = field.message_type
        self._body_is_message = field is None or (is_plain_message(field))
        response_field = binding.response_field
        self._shown = response_field.name if response_field is not None else ""
        self.encode: Encode = encoders.of(binding.shown)

    def request(
        self,
        variables: dict[str, str],
        query: str,
        body: Any,
        idempotency_key: str | None = None,
        last_event_id: str | None = None,
    ) -> Message:
        """Build the request message. `body` is the parsed JSON, unused where the binding takes none.

        Raise BadInput naming everything that is wrong, NoSuchResource for a path segment of the wrong form.
        """
        message = self.binding.rpc.request()
        faults = Faults()
        if self.binding.body:
            self._fill_body(message, body, faults)
        if query:
            self._fill_query(message, query, faults)
        if idempotency_key is not None and self.idempotency_field is not None:
            self._fill_idempotency_key(message, self.idempotency_field, idempotency_key, faults)
        if last_event_id and self.cursor_field is not None:
            # The header wins: a browser that reconnects repeats its URL, with the cursor it began from.
            setattr(message, self.cursor_field.name, last_event_id)
        for name, set_text in self._path_parsers:
            try:
                set_text(message, variables[name])
            except (WrongType, Refused):
                raise NoSuchResource(name) from None
        if faults.found:
            raise BadInput(faults.found)
        return message

    def shown(self, response: Any) -> Any:
        """The part of a response message that HTTP shows; None if it is not set."""
        if not self._shown:
            return response
        return getattr(response, self._shown) if response.HasField(self._shown) else None

    def response(self, response: Message) -> bytes:
        """The JSON text of a response message."""
        shown = self.shown(response)
        return orjson.dumps(None if shown is None else self.encode(shown))

    def has_ticket(self, query: str) -> bool:
        """Whether the query carries a value that stands in for the Authorization header."""
        if not self._secrets or not query:
            return False
        # However many there are: that is refused when the request is built.
        return any(name in self._secrets and value for name, value in parse_qsl(query))

    def redacted(self, query: str) -> str:
        """The query as logs may hold it: without what somebody wrote, or what may be a token in the wrong place."""
        return "&".join(self._redacted(part) for part in query.split("&")) if query else ""

    def _redacted(self, part: str) -> str:
        name = _parameter_name(part)
        if name not in self.parameters:
            return "REDACTED"
        return f"{name}=REDACTED" if name in self._secrets or name in self._texts else part

    def _fill_body(self, message: Message, body: Any, faults: Faults) -> None:
        name = self.binding.body
        if name == "*":
            self._decoders.fill(message, body, "", faults, self._hidden)
        elif self._body_is_message:
            inner = getattr(message, name)
            inner.SetInParent()
            self._decoders.fill(inner, body, "", faults)
        else:
            self._decoders.set(message, name, body, name, faults)
        if self._mask:
            paths = ["*"] if self.binding.method == "PUT" else mask_paths(self._body_type, body)
            getattr(message, self._mask).paths.extend(paths)

    def _fill_query(self, message: Message, query: str, faults: Faults) -> None:
        try:
            pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
        except UnicodeDecodeError:
            faults.malformed("", "the query is not percent-encoded UTF-8", "MALFORMED_ENCODING")
            return
        except ValueError:
            faults.malformed("", f"the query has more than {_MAX_PARAMETERS} parameters", "TOO_MANY_PARAMETERS")
            return
        seen: set[str] = set()
        for name, text in pairs:
            parameter = self.parameters.get(name)
            if parameter is None:
                faults.unknown(name, self.parameters, "query parameter")
            elif name in seen and not parameter.field.is_repeated:
                faults.malformed(name, "is given more than once", "DUPLICATE_KEY")
            else:
                seen.add(name)
                try:
                    self._query_setters[name](message, text)
                except WrongType as error:
                    faults.wrong_type(name, str(error))
                except Refused as error:
                    faults.refused(name, str(error))

    def _fill_idempotency_key(self, message: Message, field: FieldDescriptor, key: str, faults: Faults) -> None:
        present = message.HasField(field.name) if field.has_presence else bool(getattr(message, field.name))
        if present and getattr(message, field.name) != key:
            faults.malformed(field.name, "differs from the header Idempotency-Key", "IDEMPOTENCY_KEY_MISMATCH")
        else:
            setattr(message, field.name, key)


def mask_field(binding: Binding) -> FieldDescriptor | None:
    """The FieldMask that a PUT or PATCH derives instead of taking it from its caller."""
    if binding.method not in _MASKED_METHODS or not binding.body:
        return None
    fields = binding.rpc.method.input_type.fields
    return next(
        (each for each in fields if each.message_type is not None and each.message_type.full_name == FIELD_MASK), None
    )


def hidden_fields(binding: Binding) -> frozenset[str]:
    """The request fields that a whole-message body may not hold: what the path says, and what the gateway derives."""
    mask = mask_field(binding)
    names = [variable.field_path for variable in binding.template.variables if "." not in variable.field_path]
    return frozenset([*names, mask.name] if mask is not None else names)


def query_parameters(binding: Binding) -> Iterator[Parameter]:
    """The request fields that the query may fill: all that neither path, body nor mask does."""
    if binding.body == "*":
        return
    mask = mask_field(binding)
    taken = {variable.field_path for variable in binding.template.variables} | {binding.body}
    if mask is not None:
        taken.add(mask.name)
    yield from _parameters_of(binding.rpc.method.input_type, "", taken, 1)


def _parameters_of(message: Descriptor, prefix: str, taken: set[str], depth: int) -> Iterator[Parameter]:
    for field in message.fields:
        name = f"{prefix}{field.name}"
        oneof = field.containing_oneof
        if name in taken or is_output_only(field) or is_map(field) or (oneof is not None and tag_of(oneof) is not None):
            continue
        if is_plain_message(field):
            if depth < _MAX_PARAMETER_DEPTH:
                yield from _parameters_of(message_of(field), f"{name}.", taken, depth + 1)
        elif field.message_type is None or (_is_textual(field) and not field.is_repeated):
            yield Parameter(name, field, rules_of(field).ticket)


def _is_textual(field: FieldDescriptor) -> bool:
    name = message_of(field).full_name
    return name in _TEXT_MESSAGES or name == FIELD_MASK


def _text_setter(message: Descriptor, path: str) -> Callable[[Any, str], None]:
    """The function that reads a text into the field at a dotted path. It raises WrongType or Refused."""
    field = field_at(message, path)
    assert field is not None
    *parents, name = path.split(".")
    set_text = _field_setter(field, name)
    if not parents:
        return set_text

    def set_nested(target: Any, text: str) -> None:
        for parent in parents:
            target = getattr(target, parent)
        set_text(target, text)

    return set_nested


def _field_setter(field: FieldDescriptor, name: str) -> Callable[[Any, str], None]:
    if field.message_type is None:
        parse: Parse = text_parser(field)
        if field.is_repeated:
            return lambda target, text: getattr(target, name).append(parse(text))
        return lambda target, text: setattr(target, name, parse(text))
    if field.message_type.full_name == FIELD_MASK:
        return lambda target, text: getattr(target, name).paths.extend(part for part in text.split(",") if part)
    parse_pair = _TEXT_MESSAGES[field.message_type.full_name]

    def set_pair(target: Any, text: str) -> None:
        inner = getattr(target, name)
        inner.SetInParent()
        inner.seconds, inner.nanos = parse_pair(text)

    return set_pair


def _parameter_name(part: str) -> str:
    pairs = parse_qsl(part, keep_blank_values=True)
    return pairs[0][0] if pairs else ""
