"""Twelve minutes of a browser in as many seconds: the page's own program, with a real EventSource, in Node."""

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from tests.cutting import cutting
from tests.e2e.client import Chat, signed_in
from tests.e2e.conftest import settings
from tests.e2e.events import Event
from tests.e2e.events_page import PAGE, blocks
from tests.e2e.node import CLIENTS, node_modules, require
from tests.e2e.polling import eventually
from tests.e2e.program import Program, started
from tests.e2e.suite import Layout, Suite, running
from tests.fakes.openai_script import Script
from tests.fakes.openai_server import FakeModel

EVENT_SOURCE = CLIENTS / "eventsource"
# Of what is 10 and 30 minutes.
SHORTENED = {"CODELAB_TICKET_SECONDS": "3", "CODELAB_CONNECTION_SECONDS": "4"}
POEM = '𝄞 Zwölf Boxkämpfer, cafe\u0301, 👩‍👩‍👧 jagen\u2028中文? "Nein".\r\n'
SNAPSHOT = "message_snapshot"
TEXT = ("message_delta", SNAPSHOT)
# What a process takes with it that dies before it has told it.
PROGRESS = {"context_retrieved", "agent_working", "agent_status_changed"}


class Browser:
    """Who watches the session, by what it was told so far."""

    def __init__(self, program: Program) -> None:
        self._program = program

    @property
    def told(self) -> list[Event]:
        return [json.loads(line) for line in self._program.lines]

    def texts(self, run_id: str) -> int:
        """Pieces of the run's answer that it was told."""
        return len([event for event in self.told if event["type"] in TEXT and event["run_id"] == run_id])

    def ends(self, reason: str) -> int:
        """Streams that ended so."""
        return len(
            [event for event in self.told if event["type"] == "stream_ended" and event["payload"]["reason"] == reason]
        )

    async def shown(self) -> Event:
        """What it shows once the session is gone."""
        await self._program.ended()
        return self.told[-1]


@contextlib.asynccontextmanager
async def browsing(chat: Chat, url: str, token: str, folder: Path) -> AsyncIterator[Browser]:
    (folder / "node_modules").symlink_to(await node_modules(EVENT_SOURCE))
    shutil.copy(EVENT_SOURCE / "follow.mjs", folder)
    (folder / "events.mjs").write_text(blocks(PAGE.read_text(encoding="utf-8"))["events.mjs"], encoding="utf-8")
    environment = {"PATH": os.environ["PATH"], "CODELAB_TOKEN": token}
    environment |= {"PROJECT_URL": f"{url}{chat.project_path}", "SESSION_ID": chat.session_id}
    async with started("node", "follow.mjs", folder=folder, environment=environment) as program:
        yield Browser(program)


async def answered(chat: Chat, model: FakeModel, browser: Browser, disturb: Callable[[], Awaitable[object]]) -> str:
    """Send a message, disturb its watcher in mid-answer, and wait until it knows the answer. The run's id."""
    gate = str(uuid.uuid4())
    script = Script(answer=POEM, repeat=4, chunks=40, token_seconds=0.01, after_chunks=20, gate=gate)
    run_id: str = (await chat.start(f"A poem, please. {script.directive()}"))["id"]
    await eventually(lambda: browser.texts(run_id), what="the beginning of the answer in the browser")
    await disturb()
    model.open_gate(gate)
    await chat.run_after(run_id, "succeeded")

    def final() -> bool:
        return any(event["final"] and event["run_id"] == run_id for event in browser.told)

    await eventually(final, what="the answer in the browser")
    return run_id


def served(suite: Suite, path: str) -> list[int]:
    """How the gateway answered the requests that went there and are over."""
    lines = (suite.folder / "gateway.log").read_text(encoding="utf-8").splitlines()
    requests = [json.loads(line) for line in lines if line.startswith("{")]
    return [each["status"] for each in requests if each["event"] == "request served" and each["path"] == path]


def assert_each_came_once_and_in_order(told: list[Event]) -> None:
    """By what only tests know of ids, that they are epoch-seq: none is missing, unless a resync said so."""
    last: str | None = None
    for event in told:
        if event["type"] == "resync_required":
            last = event["payload"]["latest_id"]
        elif event["id"] is not None:
            epoch, _, seq = event["id"].partition("-")
            assert last == f"{epoch}-{int(seq) - 1}" or (last is None and seq == "1"), f"{event['id']} after {last}"
            last = event["id"]


@pytest.mark.longer
@pytest.mark.e2e_external
async def test_event_source_misses_nothing_in_twelve_minutes(model: FakeModel, tmp_path: Path) -> None:
    require("node", "npm")
    folders = (tmp_path / "suite", tmp_path / "browser")
    for folder in folders:
        folder.mkdir()
    async with contextlib.AsyncExitStack() as stack:
        given = {**settings(Layout.FIVE, model), **SHORTENED}
        suite = await stack.enter_async_context(running(Layout.FIVE, folders[0], **given))
        token = await suite.token(str(uuid.uuid4()))
        chat = await (await stack.enter_async_context(signed_in(suite.url, token))).new_chat()
        network = await stack.enter_async_context(cutting(suite.url.removeprefix("http://")))
        url = f"http://{network.address}"
        browser = await stack.enter_async_context(browsing(chat, url, token, folders[1]))
        events, tickets = f"{chat.path}/events", f"{chat.path}/events:ticket"
        # Before that it has read where it begins.
        await eventually(lambda: 200 in served(suite, tickets), what="the first ticket")

        async def cut() -> None:
            await eventually(network.cut, what="a connection to cut")

        async def back_after(disturb: Callable[[], Awaitable[object]]) -> None:
            await disturb()
            before = len(browser.told)
            # A piece may still be on its way that was sent before: only who comes back is told the text so far.
            await eventually(lambda: any(each["type"] == SNAPSHOT for each in browser.told[before:]), what="a snapshot")

        async def cut_until_its_ticket_is_refused() -> None:
            def refused() -> bool:
                network.cut()
                return 401 in served(suite, events)

            await eventually(refused, what="a ticket that is too old")

        async def restart_streams() -> None:
            suite.processes["streams"].terminate()
            await suite.processes["streams"].wait()
            await suite.start("streams")

        async def rotate() -> None:
            before = browser.ends("rotated")
            await eventually(lambda: browser.ends("rotated") > before, what="a rotation")

        whole, rest_missed = [], await answered(chat, model, browser, cut)
        for disturb in (cut, cut_until_its_ticket_is_refused, restart_streams, rotate, cut):
            whole.append(await answered(chat, model, browser, partial(back_after, disturb)))
        runs = [rest_missed, *whole]
        await chat.recorded(runs[-1])
        stored, timelines = await chat.messages(), [await chat.timeline(run_id) for run_id in runs]
        assert (await chat.http.delete(chat.session_path)).status_code == 204
        shown = await browser.shown()
        opened, made = served(suite, events).count(200), served(suite, tickets).count(200)

    told = browser.told[:-1]
    assert_each_came_once_and_in_order(told)
    for run_id, timeline in zip(runs, timelines, strict=True):
        lasting = [each for each in told if each["run_id"] == run_id and each["id"] and each["type"] not in PROGRESS]
        assert lasting == timeline
    assert (shown["messages"], shown["left"]) == (stored, 0)
    answers = {each["run_id"]: each for each in stored if each["role"] == "assistant"}
    assert [answers[run_id]["content"] for run_id in runs] == [POEM * 4] * len(runs)
    # Pieces of it came over two connections, or out of two processes.
    assert [shown["built"][answers[run_id]["id"]] for run_id in whole] == [POEM * 4] * len(whole)
    assert (POEM * 4).startswith(shown["built"][answers[rest_missed]["id"]])
    assert {event["payload"]["reason"] for event in told if event["type"] == "resync_required"} == {"epoch_changed"}
    # It asked for another ticket when it had to, and else came back by itself with the one it had.
    assert 1 < made < opened
