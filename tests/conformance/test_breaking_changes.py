"""The contract grows and never breaks: what its clients would feel is refused, what they would not is let through."""

from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

from protos.baseline import BASELINE, DESCRIPTORS, baseline_of, breaking_changes

Change = Callable[["Contract"], object]


class Contract:
    """The contract as it is, for a test to change."""

    def __init__(self) -> None:
        self.files = FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())

    def message(self, name: str) -> DescriptorProto:
        return next(each for file in self.files.file for each in file.message_type if each.name == name)

    def field(self, message: str, name: str) -> FieldDescriptorProto:
        return next(each for each in self.message(message).field if each.name == name)

    def service(self, name: str) -> ServiceDescriptorProto:
        return next(each for file in self.files.file for each in file.service if each.name == name)

    def without_field(self, message: str, name: str) -> None:
        self.message(message).field.remove(self.field(message, name))

    def without_rpc(self, service: str, name: str) -> None:
        methods = self.service(service).method
        methods.remove(next(each for each in methods if each.name == name))

    def without_service(self, name: str) -> None:
        for file in self.files.file:
            for each in [each for each in file.service if each.name == name]:
                file.service.remove(each)

    def enum_value(self, enum: str, value: str, number: int) -> None:
        found = next(each for file in self.files.file for each in file.enum_type if each.name == enum)
        next(each for each in found.value if each.name == value).number = number


BREAKING: dict[str, Change] = {
    "a field renumbered": lambda contract: setattr(contract.field("Project", "name"), "number", 99),
    "a field of another type": lambda contract: setattr(
        contract.field("Usage", "prompt_tokens"), "type", FieldDescriptorProto.TYPE_STRING
    ),
    "a number that JSON writes otherwise": lambda contract: setattr(
        contract.field("Usage", "prompt_tokens"), "type", FieldDescriptorProto.TYPE_INT64
    ),
    "a field renamed": lambda contract: setattr(contract.field("Project", "name"), "name", "title"),
    "another JSON name": lambda contract: setattr(contract.field("Project", "name"), "json_name", "title"),
    "a field removed": lambda contract: contract.without_field("Project", "updated_at"),
    "a single field made a list": lambda contract: setattr(
        contract.field("Project", "name"), "label", FieldDescriptorProto.LABEL_REPEATED
    ),
    "an enum's value renumbered": lambda contract: contract.enum_value("RunState", "RUN_STATE_FAILED", 70),
    "an RPC removed": lambda contract: contract.without_rpc("ProjectService", "DeleteProject"),
    "a service removed": lambda contract: contract.without_service("EventService"),
    "an RPC that no longer streams": lambda contract: setattr(
        contract.service("EventService").method[0], "server_streaming", False
    ),
}
HARMLESS: dict[str, Change] = {
    "nothing": lambda contract: None,
    "a new field": lambda contract: contract.message("Project").field.add(
        name="colour",
        json_name="colour",
        number=99,
        type=FieldDescriptorProto.TYPE_STRING,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
    ),
    "a new RPC": lambda contract: contract.service("ProjectService").method.add(
        name="Rename",
        input_type=".codelab.projects.v1.UpdateProjectRequest",
        output_type=".codelab.projects.v1.UpdateProjectResponse",
    ),
    "a new message": lambda contract: contract.files.file[-1].message_type.add(name="Colour"),
    "other options": lambda contract: contract.field("Project", "name").ClearField("options"),
}


def changed(change: Change, folder: Path) -> Path:
    contract = Contract()
    change(contract)
    path = folder / "changed.binpb"
    path.write_bytes(contract.files.SerializeToString())
    return path


@pytest.mark.parametrize("change", BREAKING.values(), ids=BREAKING)
def test_what_breaks_clients_is_refused(change: Change, tmp_path: Path) -> None:
    assert breaking_changes(changed(change, tmp_path))


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_what_clients_do_not_feel_is_let_through(change: Change, tmp_path: Path) -> None:
    assert breaking_changes(changed(change, tmp_path)) == ""


def test_additions_are_written_down_and_guarded_from_then_on(tmp_path: Path) -> None:
    contract = Contract()
    HARMLESS["a new field"](contract)
    grown = tmp_path / "baseline.txtpb"
    grown.write_text(baseline_of(contract.files), encoding="utf-8")
    assert grown.read_text() != BASELINE.read_text()
    assert "colour" in breaking_changes(DESCRIPTORS, grown)


def test_comments_and_options_are_no_part_of_the_baseline() -> None:
    contract = Contract()
    before = baseline_of(contract.files)
    contract.field("Project", "name").ClearField("options")
    contract.files.file[-1].ClearField("source_code_info")
    assert baseline_of(contract.files) == before
