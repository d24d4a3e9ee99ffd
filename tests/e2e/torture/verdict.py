"""What must be true of every client, and of every answer, once everything is over."""

from collections.abc import AsyncIterator
from typing import Any

from tests.e2e.torture.asking import Asker
from tests.e2e.torture.knowledge import Short
from tests.e2e.torture.published import Place
from tests.e2e.torture.torture import Room, Torture

# A publisher pauses up to 2 s between two tries, and an answer takes as long as it takes.
_AFTERMATH_SECONDS = 5.0


async def judge(torture: Torture) -> None:
    """Write the tally: what was wrong, and how much there was."""
    tally = torture.tally
    knowing = [each.knowledge for each in (*torture.clients, *torture.askers)]
    for room in torture.rooms:
        tally.violations += await _answers(torture, room)
        tally.violations += room.published.contradictions
        if len(room.published.heads) > torture.epochs:
            tally.violations.append(f"{[*room.published.heads]} are more epochs than {torture.epochs}")
    missing = [f"{each.name}: {what}" for each in knowing for what in each.missing()]
    tally.violations += [wrong for each in knowing for wrong in each.wrong] + missing
    # Not those of senders: the stream behind theirs may end and go on, and what was written meanwhile comes at the end.
    short = [each for client in torture.clients for each in client.knowledge.short]
    tally.violations += [each.complaint for each in short if not _excused(torture, each)]
    counts = tally.counts
    counts["clients"] = len(torture.clients)
    counts["events acknowledged"] = sum(len(room.published.acknowledged) for room in torture.rooms)
    counts["events known"] = sum(len(room.published.events) for room in torture.rooms)
    counts["deliveries"] = sum(each.received for each in knowing)
    counts["connections"] = sum(each.connects for each in (*torture.clients, *torture.askers))
    counts["resyncs due"] = sum(len(each.resyncs) - each.undue for each in knowing)
    counts["resyncs undue"] = sum(each.undue for each in knowing)
    counts["lost"] += len(missing)
    counts["repeated"] = sum(each.repeated for each in knowing)
    counts["out of order"] = sum(each.out_of_order for each in knowing)
    counts["texts whole by deltas alone"] = sum(len(each.whole_by_deltas) for each in knowing)
    counts["texts whose end died with a process"] = len(short)
    counts["texts whose first half was a dead run's"] = sum(len(each.begun_anew) for each in knowing)


def _excused(torture: Torture, short: Short) -> bool:
    """Whether something died while the reader was connected, or shortly before, or had not quite come back."""
    return any(
        began <= short.told_at and short.connected_at <= healed + _AFTERMATH_SECONDS for began, healed in torture.blows
    )


async def _answers(torture: Torture, room: Room) -> list[str]:
    """The stored runs and messages, against what each client of the session knows of them."""
    wrong: list[str] = []
    askers = [each for each in torture.askers if each.session is room.session]
    if not askers:
        return wrong
    page: Any = await torture.get(room.session, f"chat/sessions/{room.session.session_id}/messages?page_size=100")
    stored = {message["id"]: message for message in page["messages"]}
    for asker in askers:
        wrong += [each async for each in _answer(torture, room, asker, stored)]
    by_reader = {id: message["content"] for id, message in stored.items() if message["role"] == "assistant"}
    for client in torture.clients:
        knowledge = client.knowledge
        if client.session is not room.session or client.manner.runs:
            continue
        torture.tally.counts["texts compared"] += len(by_reader)
        for id, content in by_reader.items():
            if knowledge.messages.get(id) != content:
                wrong.append(f"{knowledge.name}: message {id} is {content!r}, known as {knowledge.messages.get(id)!r}")
        over = {asker.run_id for asker in askers}
        if not over <= knowledge.over.keys():
            wrong.append(f"{knowledge.name} does not know that {over - knowledge.over.keys()} are over")
    return wrong


async def _answer(torture: Torture, room: Room, asker: Asker, stored: dict[str, Any]) -> AsyncIterator[str]:
    run: Any = await torture.get(room.session, f"runs/{asker.run_id}")
    if run["state"] != "succeeded":
        yield f"{asker.knowledge.name}: its run is {run}"
        return
    content = stored[run["message_id"]]["content"]
    if content != asker.script.answer:
        yield f"{asker.knowledge.name} was answered {content!r} instead of {asker.script.answer!r}"
    if asker.transport is not None:
        torture.tally.counts["texts compared"] += 1
        if asker.knowledge.messages.get(run["message_id"]) != content:
            yield f"{asker.knowledge.name}: the answer is {content!r}, known as {asker.knowledge.messages}"
    page: Any = await torture.get(room.session, f"runs/{asker.run_id}:events?page_size=100")
    for n, event in enumerate(page["events"], start=1):
        room.published.acknowledge(run["id"], n, event["id"], event)
        if (known := Place.of(event["id"])) not in room.published.events:
            yield f"{known} stands in the timeline, and nowhere else: {event}"
    if asker.transport is not None:
        for unheard in asker.knowledge.unheard(page["events"]):
            yield f"{asker.knowledge.name} was {unheard}"
