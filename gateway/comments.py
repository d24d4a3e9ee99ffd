"""The texts that the contract's authors wrote, by full name."""

from collections.abc import Iterator

from google.protobuf import descriptor_pb2

_MESSAGES, _ENUMS, _SERVICES = (
    descriptor_pb2.FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER,
    descriptor_pb2.FileDescriptorProto.ENUM_TYPE_FIELD_NUMBER,
    descriptor_pb2.FileDescriptorProto.SERVICE_FIELD_NUMBER,
)
_NESTED, _FIELDS, _NESTED_ENUMS = (
    descriptor_pb2.DescriptorProto.NESTED_TYPE_FIELD_NUMBER,
    descriptor_pb2.DescriptorProto.FIELD_FIELD_NUMBER,
    descriptor_pb2.DescriptorProto.ENUM_TYPE_FIELD_NUMBER,
)
_METHODS = descriptor_pb2.ServiceDescriptorProto.METHOD_FIELD_NUMBER
_VALUES = descriptor_pb2.EnumDescriptorProto.VALUE_FIELD_NUMBER

_Path = tuple[int, ...]


class Comments:
    """Comments of a descriptor set with source information; empty for what has none."""

    def __init__(self, descriptors: descriptor_pb2.FileDescriptorSet) -> None:
        self._texts: dict[str, str] = {}
        for file in descriptors.file:
            written = {
                tuple(location.path): location.leading_comments or location.trailing_comments
                for location in file.source_code_info.location
                if location.leading_comments or location.trailing_comments
            }
            for path, name in _names(file):
                if path in written:
                    self._texts[name] = _unwrapped(written[path])

    def of(self, full_name: str) -> str:
        """The comment of a service, RPC, message, field, enum or enum value."""
        return self._texts.get(full_name, "")

    def summary_of(self, full_name: str) -> str:
        """Its first sentence, without the full stop."""
        first, _, _ = self.of(full_name).partition(". ")
        return first.partition("\n")[0].rstrip(".")


def _names(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[_Path, str]]:
    package = f"{file.package}." if file.package else ""
    for index, message in enumerate(file.message_type):
        yield from _names_in(message, (_MESSAGES, index), package)
    for index, enum in enumerate(file.enum_type):
        yield from _names_of_enum(enum, (_ENUMS, index), package)
    for index, service in enumerate(file.service):
        yield (_SERVICES, index), f"{package}{service.name}"
        for number, method in enumerate(service.method):
            yield (_SERVICES, index, _METHODS, number), f"{package}{service.name}.{method.name}"


def _names_in(message: descriptor_pb2.DescriptorProto, path: _Path, prefix: str) -> Iterator[tuple[_Path, str]]:
    name = f"{prefix}{message.name}"
    yield path, name
    for index, field in enumerate(message.field):
        yield (*path, _FIELDS, index), f"{name}.{field.name}"
    for index, enum in enumerate(message.enum_type):
        yield from _names_of_enum(enum, (*path, _NESTED_ENUMS, index), f"{name}.")
    for index, nested in enumerate(message.nested_type):
        yield from _names_in(nested, (*path, _NESTED, index), f"{name}.")


def _names_of_enum(enum: descriptor_pb2.EnumDescriptorProto, path: _Path, prefix: str) -> Iterator[tuple[_Path, str]]:
    yield path, f"{prefix}{enum.name}"
    for index, value in enumerate(enum.value):
        yield (*path, _VALUES, index), f"{prefix}{enum.name}.{value.name}"


def _unwrapped(comment: str) -> str:
    """Lines of one paragraph joined; paragraphs apart."""
    paragraphs = "\n".join(line.strip() for line in comment.strip().splitlines()).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split("\n")) for paragraph in paragraphs)
