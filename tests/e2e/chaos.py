"""Users at work while processes are killed, stopped and frozen: `python -m tests.e2e.chaos --seconds 60 --seed 1`.

Afterwards nothing may be stuck, lost or told twice: what breaks an invariant is printed, and the exit code says so.
"""

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.e2e.client import AGENT, Chat, answer, signed_in
from tests.e2e.conftest import settings
from tests.e2e.events import Event, StreamBroken
from tests.e2e.suite import SERVICES, Layout, Suite, running
from tests.fakes.openai_script import Script
from tests.fakes.openai_server import FakeModel

USERS = 16
SESSIONS = 8
WAYS = ("send", "replace", "reject", "stream", "run", "cancel")
# What may befall a request while services come and go; anything else breaks an invariant.
EXCUSED = {"MODEL_TIMEOUT", "MODEL_UNAVAILABLE", "RUN_CANCELLED", "RUN_INTERRUPTED", "RUN_FINISHED", "SESSION_BUSY"}
RECOVERS_WITHIN = 25.0
# Longer than the sweeper waits before it publishes what a crash left.
PUBLISHED_WITHIN = 15.0


class Violation(Exception):
    """Something that must never happen."""


@dataclass
class Chaos:
    """One run of the game; everything random comes from its seed."""

    suite: Suite
    model: FakeModel
    random: random.Random
    until: float
    seen: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    async def play(self, chats: list[Chat], victims: list[str]) -> None:
        users = [self._use(chats[number % len(chats)], number) for number in range(USERS)]
        await asyncio.gather(self._harm(victims), *users)

    async def _harm(self, victims: list[str]) -> None:
        while time.monotonic() < self.until - 5:
            await asyncio.sleep(self.random.uniform(1, 3))
            name = self.random.choice(victims)
            harm = self.random.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
            self.seen[f"{harm.name} {name}"] += 1
            process = self.suite.processes[name]
            process.send_signal(harm)
            if harm is signal.SIGSTOP:
                # Up to twice the lease: a process that wakes up must notice that its runs are another's.
                await asyncio.sleep(self.random.uniform(0.5, 4))
                process.send_signal(signal.SIGCONT)
                continue
            code = await process.wait()
            if harm is signal.SIGTERM and code != 0:
                self.violations.append(f"{name} ended with {code} after SIGTERM")
            await asyncio.sleep(self.random.uniform(0, 1))
            await self.suite.start(name)

    async def _use(self, chat: Chat, number: int) -> None:
        while time.monotonic() < self.until:
            way = self.random.choice(WAYS)
            script = Script(
                answer=f"𝄞 answer {number} é. " * 20,
                chunks=20,
                first_token_seconds=self.random.choice([0, 0.05]),
                token_seconds=self.random.choice([0, 0.01, 0.03]),
            )
            try:
                what = await self._ask(chat, way, f"{uuid.uuid4()} {script.directive()}", script.answer)
            except (httpx.ReadTimeout, Violation, AssertionError) as error:
                what = "violation"
                self.violations.append(f"{way} in session {chat.session_id}: {error!r}")
            except (httpx.TransportError, StreamBroken) as error:
                what = type(error).__name__
            if what not in ("ok", "agent_completed"):
                await asyncio.sleep(0.1)
            self.seen[f"{way}: {what}"] += 1

    async def _ask(self, chat: Chat, way: str, content: str, expected: str) -> str:
        sending = {"content": content, "target_agent": AGENT, "request_id": str(uuid.uuid4())}
        if way == "stream":
            return await self._stream(chat, sending, expected)
        if way in ("run", "cancel"):
            created = await chat.http.post(f"{chat.project_path}/runs", json={**sending, "session_id": chat.session_id})
            if created.status_code != 201 or way == "run":
                return outcome(created, 201)
            await asyncio.sleep(self.random.uniform(0, 0.2))
            return outcome(await chat.cancel(created.json()["id"]), 200)
        busy = {} if way == "send" else {"on_busy": way}
        sent = await chat.http.post(f"{chat.path}/message", json={**sending, **busy}, timeout=RECOVERS_WITHIN)
        if sent.status_code == 200 and sent.json()["content"] != expected:
            raise Violation(f"answered with other words: {sent.text}")
        return outcome(sent, 200)

    async def _stream(self, chat: Chat, sending: dict[str, str], expected: str) -> str:
        content, request_id = sending["content"], sending["request_id"]
        try:
            async with chat.stream(content, request_id=request_id) as stream:
                watch = await stream.to_end()
        except AssertionError as error:
            if "answered 503" in str(error) or "answered 504" in str(error):
                return "refused"
            raise
        finals = [event for event in watch.events if event["final"]]
        if not finals:
            return f"ended: {watch.ended['reason']}"
        if finals[0]["type"] == "agent_completed":
            # An answer that was complete before the stream began comes whole, with the final event.
            texts = [*watch.answers.texts.values(), finals[0]["payload"]["message"]["content"]]
            if set(texts) != {expected}:
                raise Violation(f"streamed other words: {texts}")
        return str(finals[0]["type"])

    async def settle(self, chats: list[Chat]) -> None:
        """Check what must hold once everything runs again."""
        for chat in chats:
            for run in await every_run(chat):
                try:
                    done = await chat.run_after(run["id"], within=RECOVERS_WITHIN)
                except AssertionError as error:
                    self.violations.append(f"stuck: {error}")
                    continue
                self.seen[f"run {done['state']} {(done['error'] or {}).get('reason', '')}".strip()] += 1
        await asyncio.sleep(PUBLISHED_WITHIN)
        for chat in chats:
            for run in await every_run(chat):
                timeline = await chat.timeline(run["id"])
                if [event["final"] for event in timeline] != [False] * (len(timeline) - 1) + [True]:
                    self.violations.append(f"run {run['id']} has not one end: {timeline}")
                if not all(event["id"] for event in timeline):
                    self.violations.append(f"run {run['id']} was never told: {timeline}")
            reply = await chat.send("Are you well?")
            if reply.status_code != 200:
                self.violations.append(f"session {chat.session_id} takes no message: {reply.text}")
            agents = (await answer(chat.http.get(f"{chat.project_path}/agents")))["agents"]
            self.violations += [f"agent left {each['status']}" for each in agents if each["status"] != "ready"]
        if self.model.open_now():
            self.violations.append("model requests are left open")


def outcome(response: httpx.Response, good: int) -> str:
    if response.status_code == good:
        return "ok"
    reason = str(response.json()["reason"])
    # 503 of the gateway and the services name what is out of reach.
    if response.status_code != 503 and reason not in EXCUSED:
        raise Violation(f"answered {response.status_code} {response.text}")
    return reason


async def every_run(chat: Chat) -> list[Event]:
    runs: list[Event] = []
    token = ""
    while True:
        query: dict[str, str | int] = {"session_id": chat.session_id, "page_size": 200, "page_token": token}
        page = await answer(chat.http.get(f"{chat.project_path}/runs", params=query))
        runs += page["runs"]
        token = page["next_page_token"]
        if not token:
            return runs


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--victims", nargs="+", default=[*SERVICES, "gateway"], help="processes to harm")
    arguments = parser.parse_args()
    with FakeModel() as model, tempfile.TemporaryDirectory() as folder:
        async with (
            running(Layout.FIVE, Path(folder), **settings(Layout.FIVE, model)) as suite,
            signed_in(suite.url, await suite.token(str(uuid.uuid4()))) as api,
        ):
            chats = [await api.new_chat() for _ in range(SESSIONS)]
            until = time.monotonic() + arguments.seconds
            chaos = Chaos(suite, model, random.Random(arguments.seed), until)
            await chaos.play(chats, arguments.victims)
            await chaos.settle(chats)
    report = {"seed": arguments.seed, "seen": dict(sorted(chaos.seen.items())), "violations": chaos.violations}
    sys.stdout.write(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    sys.exit(1 if chaos.violations else 0)


if __name__ == "__main__":
    asyncio.run(main())
