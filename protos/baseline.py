"""Hold the contract against its baseline: `python protos/baseline.py [--write]`.

`baseline.txtpb` is the contract as it was last landed: messages, enums, RPCs, with neither comments nor options, one
field a line. What breaks a client of it is refused by buf; what was added has to be written down, so that it is guarded
from the commit that adds it on. Neither a tag nor a history is needed, which a checkout may not have.
"""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2, text_format
from google.protobuf.message import Message

ROOT = Path(__file__).resolve().parent
DESCRIPTORS = ROOT / "codelab" / "descriptors.binpb"
BASELINE = ROOT / "baseline.txtpb"
PACKAGE = "codelab"
# What only options need is no part of any message.
_OF_OPTIONS = ("google/api/", "google/rpc/", "google/protobuf/descriptor.proto", "codelab/options/")
_KEPT = ("map_entry", "idempotency_level")
_ON_ONE_LINE = ("FieldDescriptorProto", "EnumValueDescriptorProto", "MethodDescriptorProto")


def baseline_of(descriptors: descriptor_pb2.FileDescriptorSet) -> str:
    """The text of the contract's shape: two contracts that no client can tell apart have the same."""
    out: list[str] = []
    for file in descriptors.file:
        if file.name.startswith(_OF_OPTIONS):
            continue
        shape = descriptor_pb2.FileDescriptorProto()
        shape.CopyFrom(file)
        _shape_of(shape)
        out += _lines("file", shape, "")
    return "\n".join(out) + "\n"


def breaking_changes(descriptors: Path, baseline: Path = BASELINE) -> str:
    """What buf says breaks clients of the baseline, a line each; empty if nothing does. Rules: see buf.yaml."""
    buf = [Path(sys.executable).parent / "buf", "breaking", descriptors, "--against", baseline, "--path", PACKAGE]
    answer = subprocess.run(buf, cwd=ROOT.parent, capture_output=True, text=True)
    if answer.returncode not in (0, 100):
        raise SystemExit(f"buf failed: {answer.stderr}")
    return answer.stdout


def main(arguments: list[str]) -> str | None:
    """Return what is wrong, or None."""
    write = "--write" in arguments
    if not BASELINE.exists() and not write:
        return f"{BASELINE.name} is missing: take it back from git, or begin a new one with `make contract-baseline`"
    if BASELINE.exists() and (broken := breaking_changes(DESCRIPTORS)):
        return f"{broken}Clients of the contract would break: add what is new beside what is there."
    current = baseline_of(descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()))
    if write:
        BASELINE.write_text(current, encoding="utf-8")
    elif BASELINE.read_text(encoding="utf-8") != current:
        return "The contract has grown, which breaks nobody: write it down with `make contract-baseline`."
    return None


def _shape_of(message: Message) -> None:
    """Drop what no client can tell: comments, and all options but a map's entry and whether a call may be repeated."""
    for field, value in message.ListFields():
        if field.name == "options":
            kept = {name: getattr(value, name) for name in _KEPT if value.DESCRIPTOR.fields_by_name.get(name)}
            message.ClearField("options")
            for name, each in kept.items():
                if each:
                    setattr(message.options, name, each)  # type: ignore[attr-defined]
        elif field.name == "source_code_info":
            message.ClearField(field.name)
        elif field.message_type is not None:
            for each in value if field.is_repeated else [value]:
                _shape_of(each)
        elif field.name == "dependency":
            needed = [name for name in value if not name.startswith(_OF_OPTIONS)]
            message.ClearField(field.name)
            getattr(message, field.name).extend(needed)


def _lines(name: str, message: Message, indent: str) -> Iterator[str]:
    if message.DESCRIPTOR.name in _ON_ONE_LINE:
        yield f"{indent}{name} {{ {text_format.MessageToString(message, as_one_line=True)} }}"
        return
    yield f"{indent}{name} {{"
    for field, value in message.ListFields():
        for each in value if field.is_repeated else [value]:
            if isinstance(each, Message):
                yield from _lines(field.name, each, f"{indent}  ")
            else:
                out = io.StringIO()
                text_format.PrintField(field, each, out, indent=len(indent) + 2)
                yield out.getvalue().rstrip()
    yield f"{indent}}}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
