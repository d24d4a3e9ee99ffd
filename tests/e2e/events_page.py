"""The examples of docs/events.md, taken from real runs: `python -m tests.e2e.events_page --write` writes them anew."""

import argparse
import asyncio
import json
import re
import tempfile
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.e2e.approving import approve, asking, call, waiting
from tests.e2e.client import Api, Chat, answer, signed_in
from tests.e2e.conftest import settings
from tests.e2e.events import UNPUBLISHED, Event, Format, Stream
from tests.e2e.plans import Step, giving
from tests.e2e.polling import eventually
from tests.e2e.suite import ROOT, Layout, running
from tests.fakes.openai_directives import directives, without
from tests.fakes.openai_script import Script, plan_directive
from tests.fakes.openai_server import FakeModel

PAGE = ROOT / "docs" / "events.md"
_WIDTH = 110
_EXAMPLE = re.compile(r"(?<=<!-- example: )(\w+)( -->\n```json\n)(.*?)(?=```)", re.DOTALL)
_BLOCK = re.compile(r"<!-- block: ([\w.-]+) -->\n```\w+\n(.*?)```", re.DOTALL)

_EPOCH = "7c9e66797425"
_MOMENTS = {"timestamp": "12:00:04.250", "created_at": "12:00:00.000", "started_at": "12:00:01.000"}
_MOMENTS |= {"finished_at": "12:00:03.400", "expires_at": "12:05:00.000", "decided_at": "12:01:00.000"}
_MEASURED = {"duration_ms": 2400, "planning_seconds": 0.8, "execution_seconds": 2.4, "score": 0.83}

_LIKE_AN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LIKE_AN_EVENT_ID = re.compile(r"[0-9a-f]{12}-\d+")

# Of several that came, the one that shows most.
_TELLING: dict[str, Callable[[Event], bool]] = {
    "context_retrieved": lambda event: bool(event["payload"]["memories"]),
    "message_delta": lambda event: event["payload"]["offset"] > 0,
    "agent_completed": lambda event: event["final"],
    "orchestration_completed": lambda event: event["payload"]["success"],
    "stream_ended": lambda event: event["payload"]["reason"] == "run_finished",
    "heartbeat": lambda event: event["id"] is None,
}


def examples(page: str) -> dict[str, Event]:
    """The examples in the page, by type."""
    return {match[1]: json.loads(match[3]) for match in _EXAMPLE.finditer(page)}


def blocks(page: str) -> dict[str, str]:
    """The programs in the page, by the name of the file that each would be."""
    return {match[1]: match[2] for match in _BLOCK.finditer(page)}


def with_examples(page: str, made: dict[str, Event]) -> str:
    """The page with these examples; one that is not made stays."""

    def written(match: re.Match[str]) -> str:
        text = pretty(made[match[1]]) if match[1] in made else match[3].rstrip()
        return f"{match[1]}{match[2]}{text}\n"

    return _EXAMPLE.sub(written, page)


def pretty(value: Any, indent: int = 0, before: int = 0) -> str:
    """JSON in lines that are no longer than need be, and no shorter. `before` is what stands in its line already."""
    text = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or indent + before + len(text) < _WIDTH:
        return text
    inner = " " * (indent + 2)
    if isinstance(value, list):
        parts = [f"{inner}{pretty(each, indent + 2)}" for each in value]
    else:
        parts = [f"{inner}{json.dumps(name)}: {pretty(v, indent + 2, len(name) + 5)}" for name, v in value.items()]
    opening, closing = "[]" if isinstance(value, list) else "{}"
    return ",\n".join([f"{opening}\n{parts[0]}", *parts[1:]]) + f"\n{' ' * indent}{closing}"


def chosen(events: Iterable[Event]) -> dict[str, Event]:
    """For each type the event that is its example."""
    found: dict[str, Event] = {}
    for event in events:
        kind = event["type"]
        if kind not in found and _TELLING.get(kind, lambda _: True)(event):
            found[kind] = event
    return found


def normalised(chosen: dict[str, Event], order: Iterable[str]) -> dict[str, Event]:
    """The examples with ids, times and measurements that are the same however often they are taken, in this order."""
    stable = _Stable()
    return {kind: stable.of(chosen[kind]) for kind in order if kind in chosen}


class _Stable:
    """Puts what is the same each time in the place of what is not; what was equal stays equal."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def of(self, value: Any, name: str = "") -> Any:
        match value:
            case dict():
                return {key: self.of(each, key) for key, each in value.items()}
            case list():
                # Two say that it is a list.
                return [self.of(each) for each in value[:2]]
            case str() if name in _MOMENTS:
                return f"2026-01-31T{_MOMENTS[name]}Z"
            case int() | float() if name in _MEASURED:
                return _MEASURED[name]
            case str() if _LIKE_AN_ID.fullmatch(value):
                return self._ids.setdefault(value, str(uuid.uuid5(uuid.NAMESPACE_OID, str(len(self._ids)))))
            case str() if _LIKE_AN_EVENT_ID.fullmatch(value):
                return self._ids.setdefault(value, f"{_EPOCH}-{len(self._ids) + 1}")
            case str():
                # How the model that the tests use was told what to say.
                return without(value, directives(value))
        return value


def differences(example: Any, came: Any, path: str = "") -> list[str]:
    """Where the two are not alike: in keys, nesting or types of values. Lists are alike if what is first in them is."""
    if isinstance(example, dict) and isinstance(came, dict):
        if example.keys() != came.keys():
            return [f"{path}: {sorted(example)} in the page, {sorted(came)} came"]
        return [each for name in example for each in differences(example[name], came[name], f"{path}.{name}")]
    if isinstance(example, list) and isinstance(came, list) and example and came:
        return differences(example[0], came[0], f"{path}[]")
    if _kind(example) != _kind(came) or (isinstance(example, list) and bool(example) != bool(came)):
        return [f"{path}: {example!r} in the page, {came!r} came"]
    return []


def _kind(value: Any) -> str:
    match value:
        case bool() | None:
            return str(type(value))
        case int() | float():
            return "number"
        case str() if _LIKE_AN_ID.fullmatch(value):
            return "id"
    return str(type(value))


async def happened(api: Api, model: FakeModel) -> list[Event]:
    """All that comes of a session in which as much happens as can happen today, in the order in which it came."""
    chat = await api.new_chat()
    came: list[Event] = []
    async with chat.watch(accept=Format.NDJSON, after="start") as stream:
        reading = asyncio.create_task(_read(stream, came))
        try:
            noted = giving("Noted. I look at lexer.py next.").directive()
            await answer(chat.send(f"The parser in lexer.py reads every line twice. {noted}"))
            came += await _watched_from_its_middle(chat, model)
            await _asked(chat)
            for content, steps, state in _PLANNED:
                plan = plan_directive({"tasks": [step.values("") for step in steps]})
                run = await chat.start(f"{content} {plan}", target_agent=None)
                await chat.run_after(run["id"], state)
            refused = await chat.start(f"Is it faster now? {Script(status=401).directive()}")
            await chat.run_after(refused["id"], "failed")
            await _cancelled(chat, model)
            last = (await answer(chat.http.get(chat.session_path)))["last_event_id"]
            await eventually(lambda: any(event["id"] == last for event in came), what="the last event")
            await eventually(lambda: "heartbeat" in chosen(came), what="a heartbeat that has no id")
        finally:
            reading.cancel()
            await asyncio.wait([reading])
    async with chat.watch(accept=Format.NDJSON, after="from elsewhere") as stream:
        frame = await stream.read()
        assert frame is not None
        assert frame.event is not None
        came.append(frame.event)
    return came


_REVIEW = [
    Step("profile", says="Measure where the time goes.", script=giving("Nine tenths of it in next_line.")),
    Step("read", says="Read lexer.py.", script=giving("next_line opens the file again.")),
    Step("report", ["profile", "read"], giving("next_line opens the file for every line."), says="Sum it up."),
]
_COMPARISON = [
    Step("measure", says="Measure again.", script=giving("Twice as fast.")),
    Step("compare", says="Compare with last year.", script=Script(status=400)),
    Step("publish", ["compare"], says="Publish the comparison."),
]
_PLANNED = [
    ("Find out why the parser is slow.", _REVIEW, "succeeded"),
    ("Is it faster than last year?", _COMPARISON, "failed"),
]


async def _read(stream: Stream, came: list[Event]) -> None:
    while (frame := await stream.read()) is not None:
        assert frame.event is not None
        came.append(frame.event)


async def _watched_from_its_middle(chat: Chat, model: FakeModel) -> list[Event]:
    """A run, and what somebody saw of it who came while its answer was written."""
    gate = str(uuid.uuid4())
    script = giving("Because next_line opens the file for every line.", chunks=4, after_chunks=2, gate=gate)
    run = await chat.start(f"Why does the parser read every line twice? {script.directive()}")
    came: list[Event] = []
    await eventually(lambda: any(each.pieces_sent == 2 for each in model.open_now(gate)), what="half an answer")
    async with chat.watch(accept=Format.NDJSON, run_id=run["id"]) as stream:
        while not came or came[-1]["type"] not in ("message_snapshot", "message_delta"):
            frame = await stream.read()
            assert frame is not None
            assert frame.event is not None
            came.append(frame.event)
        model.open_gate(gate)
        await _read(stream, came)
    # The rest of it the session's own watcher sees as well.
    return [event for event in came if event["type"] in ("message_snapshot", "stream_ended")]


async def _asked(chat: Chat) -> None:
    """A run that needs its user's approval, and gets it."""
    note = call("write_file", path="notes.md", content="next_line opens the file for every line.")
    run = await chat.start(asking([note], text="Write that down.", answer="It is in notes.md."))
    [asked] = await waiting(chat, run["id"])
    await answer(approve(chat, asked))
    await chat.run_after(run["id"], "succeeded")


async def _cancelled(chat: Chat, model: FakeModel) -> None:
    gate = str(uuid.uuid4())
    run = await chat.start(f"Rewrite it. {Script(gate=gate).directive()}")
    await eventually(lambda: model.open_now(gate), what="the beginning of an answer")
    assert (await chat.cancel(run["id"])).status_code == 200
    await chat.recorded(run["id"])


async def take() -> dict[str, Event]:
    """The examples as they come today, those of types that nobody publishes from the contract."""
    with FakeModel() as model, tempfile.TemporaryDirectory() as folder:
        async with (
            running(Layout.ONE, Path(folder), **settings(Layout.ONE, model)) as suite,
            signed_in(suite.url, await suite.token(str(uuid.uuid4()))) as api,
        ):
            return {**chosen(await happened(api, model)), **of_contract()}


def of_contract() -> dict[str, Event]:
    """What the contract shows of the types that nobody publishes yet."""
    from codelab.orchestrator.v1 import event_pb2

    from gateway.examples import Answers

    variants = Answers().variants_of(event_pb2.Event.DESCRIPTOR)
    return {kind: variants[kind] for kind in sorted(UNPUBLISHED)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write them into the page, instead of printing it")
    page = PAGE.read_text(encoding="utf-8")
    made = with_examples(page, normalised(asyncio.run(take()), examples(page)))
    if parser.parse_args().write:
        PAGE.write_text(made, encoding="utf-8")
    else:
        print(made, end="")


if __name__ == "__main__":
    main()
