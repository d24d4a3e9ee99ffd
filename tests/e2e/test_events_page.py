"""docs/events.md tells the truth: every event of the contract has an example, and real ones are like it."""

import re
import uuid
from collections import defaultdict

import pytest
from codelab.orchestrator.v1 import event_pb2

from gateway.connections import STALLED_SECONDS
from services.runtime.settings import Settings
from services.streams.errors import EventsUnavailable, ShuttingDown, TooManyStreams
from services.streams.service import StreamLimits
from services.streams.store import BUFFER_EVENTS, BUFFER_SECONDS, SESSION_SECONDS
from services.streams.subscription import EndReason
from tests.e2e.client import signed_in
from tests.e2e.events import UNPUBLISHED, Event
from tests.e2e.events_page import PAGE, chosen, differences, examples, happened, normalised, of_contract, pretty
from tests.e2e.suite import ROOT, Layout, Suite
from tests.fakes.openai_server import FakeModel

PROGRESS = {"context_retrieved", "agent_working", "agent_status_changed", "message_delta", "message_snapshot"}
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES = examples(TEXT)
TYPES = {field.name for field in event_pb2.Event.DESCRIPTOR.oneofs_by_name["payload"].fields}


def test_every_event_of_the_contract_has_one_example() -> None:
    assert EXAMPLES.keys() == TYPES
    assert TEXT.count("<!-- example: ") == len(TYPES)
    assert all(example["type"] == kind for kind, example in EXAMPLES.items())


def test_type_that_nobody_publishes_is_marked_and_shown_as_the_contract_has_it() -> None:
    [section] = re.findall(r"\*\*Nobody publishes this yet\.\*\*.*?(?=\n### )", TEXT, re.DOTALL)
    assert examples(section).keys() == UNPUBLISHED
    made = of_contract()
    assert [each for kind in UNPUBLISHED for each in differences(EXAMPLES[kind], made[kind], kind)] == []


def test_listeners_in_the_page_listen_to_every_type() -> None:
    [listed] = re.findall(r"const TYPES = `(.*?)`", TEXT, re.DOTALL)
    # EventSource is never told of heartbeats.
    assert set(listed.split()) == TYPES - {"heartbeat"}


def test_reasons_of_an_end_are_those_that_there_are() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (yes|no) \|", TEXT, re.MULTILINE)
    assert dict(rows) == {each.text: "yes" if each.resumable else "no" for each in EndReason}


def test_limits_in_the_page_are_those_of_the_services() -> None:
    limits = StreamLimits()
    setting = {str(field.validation_alias): field.default for field in Settings.model_fields.values()}
    expected = {
        "kept of a session": f"{BUFFER_EVENTS:,}, until {BUFFER_SECONDS / 60:g} minutes",
        "ids known": f"until {SESSION_SECONDS / 3600:g} hours",
        "slow reader": f"{limits.queue_frames:,}, then `slow_reader`",
        "reads nothing": f"{STALLED_SECONDS / 60:g} minute",
        "CODELAB_HEARTBEAT_SECONDS": f"{setting['CODELAB_HEARTBEAT_SECONDS']:g} s",
        "CODELAB_USER_STREAMS": f"{setting['CODELAB_USER_STREAMS']:,}, then `TOO_MANY_STREAMS`",
        "CODELAB_CONNECTION_SECONDS": f"{setting['CODELAB_CONNECTION_SECONDS'] / 60:g} minutes",
        "CODELAB_TICKET_SECONDS": f"{setting['CODELAB_TICKET_SECONDS'] / 60:g} minutes",
    }
    section = TEXT.partition("\n## Limits\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?!\||---).*\|$", section, re.MULTILINE)
    assert len(rows) == len(expected)
    for row, (name, value) in zip(rows, expected.items(), strict=True):
        assert name in row
        assert value in row


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)]+)\)", TEXT))))
def test_link_leads_somewhere(link: str) -> None:
    path, _, anchor = link.partition("#")
    assert (ROOT / "docs" / path).exists()
    if anchor:
        headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


on_one_process = pytest.mark.parametrize("suite", [Layout.ONE], indirect=True, ids=str, scope="session")


@on_one_process
async def test_refusals_have_the_reasons_of_the_page(suite: Suite) -> None:
    rows = re.findall(r"^\| (\d{3}) \| (.*?) \|", TEXT, re.MULTILINE)
    told = {int(status): re.findall(r"`(\w+)`", reasons) for status, reasons in rows}
    async with signed_in(suite.url, await suite.token(str(uuid.uuid4()))) as api:
        path = f"{(await api.new_chat()).path}/events"
        elsewhere = path.replace(path.split("/")[-2], str(uuid.uuid4()))
        refused = [
            await api.http.get(path, headers={"Authorization": ""}),
            await api.http.get(path, headers={"Authorization": "Bearer x"}),
            await api.http.get(elsewhere),
            await api.http.get(path, params={"type": "nonsense"}),
        ]
    assert [each.status_code for each in refused] == [401, 401, 404, 422]
    assert [each.text for each in refused if each.json()["reason"] not in told[each.status_code]] == []
    assert told[429] == [TooManyStreams.reason]
    assert told[503] == [ShuttingDown.reason, EventsUnavailable.reason]


@on_one_process
async def test_examples_are_what_comes_of_real_runs(suite: Suite, model: FakeModel) -> None:
    async with signed_in(suite.url, await suite.token(str(uuid.uuid4()))) as api:
        came = await happened(api, model)
    kinds: dict[str, list[Event]] = defaultdict(list)
    for event in came:
        kinds[event["type"]].append(event)
    assert kinds.keys() == TYPES - UNPUBLISHED, "types that came, and those whose examples are taken from runs"
    telling = chosen(came)
    # The one that an example was taken from, whatever may be null; `--write` puts it into the page.
    assert [each for kind in kinds for each in differences(EXAMPLES[kind], telling[kind], kind)] == []
    for kind, events in kinds.items():
        # The others may have null where it has something, and the other way round.
        assert {tuple(event["payload"]) for event in events} == {tuple(EXAMPLES[kind]["payload"])}, kind
    for mode, final in (("direct", "agent_completed"), ("planned", "orchestration_completed")):
        run_id = telling[final]["run_id"]
        types = [each["type"] for each in came if each["run_id"] == run_id and each["type"] not in PROGRESS]
        [listed] = re.findall(rf"^- in a {mode} run: (.*?)[;.]$", TEXT, re.MULTILINE | re.DOTALL)
        assert re.findall(r"`(\w+)`", listed) == list(dict.fromkeys(types))
    stable = normalised(telling, EXAMPLES)
    assert stable["message_received"] == EXAMPLES["message_received"], "what is normalised is the same each time"


def test_difference_in_keys_nesting_or_type_is_seen() -> None:
    example = {"a": 1, "b": [{"c": None}], "d": {"e": "x"}}
    assert differences(example, {"a": 2.5, "b": [{"c": None}], "d": {"e": "y"}}) == []
    for other in (
        {**example, "a": "1"},
        {**example, "a": True},
        {**example, "b": []},
        {**example, "b": [{"c": 1}]},
        {**example, "d": {"e": "x", "f": 1}},
        {**example, "d": {"e": str(uuid.uuid4())}},
        {"a": 1, "b": [{"c": None}]},
    ):
        assert len(differences(example, other)) == 1, other


def test_examples_are_written_as_they_are_read() -> None:
    for kind, example in EXAMPLES.items():
        assert f"<!-- example: {kind} -->\n```json\n{pretty(example)}\n```" in TEXT
