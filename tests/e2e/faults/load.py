"""Users at work while a fault strikes: messages in several sessions, each sent until it is accepted."""

import asyncio
import random
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e.client import AGENT, Api, Chat
from tests.e2e.events import Event, StreamBroken
from tests.e2e.faults.acting import Action, acting
from tests.e2e.faults.deciding import Decider
from tests.e2e.faults.errands import PARTS, Part, answer_of, lingering, texts_of
from tests.e2e.faults.watcher import REFUSALS, Watcher
from tests.e2e.plans import Errand
from tests.e2e.polling import eventually
from tests.fakes.openai_script import Script

ACCEPTED_WITHIN = 45.0
"""Seconds: the longest fault, a start on a busy machine, and what the gateway waits for a frozen process."""
_AGAIN_AFTER_SECONDS = 0.1
# What may befall a request while services come and go; anything else is a violation. 503 names what is out of reach.
_EXCUSED_STATUS = {503, 504}
_EXCUSED = {"RUN_INTERRUPTED", "RUN_CANCELLED"}
WAYS = ("run", "run", "send", "stream", "cancel", "replace", "act")
"""What is done in each session but the first, where messages queue."""
_PLANNED: dict[str, Part] = {"queue": "combining", "run": "planning", "stream": "working"}
"""Of the first wave, the first message of these ways names no agent: so a fault meets planned runs in each part."""
_PLANNED_SHARE = 0.1
"""Of all others: each costs as much as six that name one."""
QUEUED_MESSAGES = 4
MOST_ACTING = 2
"""Messages at which an agent acts, one in the first wave: they wait for their user, and for each other."""
_ACTING_SHARE = 0.3
"""Of the later waves, those with another."""
_PLANNED_ACTING_SHARE = 0.3
"""Of these messages those that name no agent: one of the tasks acts."""
DECIDED_WITHIN = 60.0
"""Seconds: the longest fault, and several questions that nobody answers in time."""


@dataclass
class Sent:
    """A message, and what its sender was told."""

    chat: Chat
    way: str
    marker: str
    script: Script
    """What the model does, where an agent is named."""
    errand: Errand | None = None
    """What is planned, where no agent is named."""
    action: Action | None = None
    """What is done, if its user agrees."""
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    run_id: str | None = None
    may_be_cancelled: bool = False

    @property
    def content(self) -> str:
        return f"{self.marker} {self.script.directive()}" if self.errand is None else self.errand.content

    @property
    def expected(self) -> str:
        """The answer."""
        return self.script.answer if self.errand is None else answer_of(self.errand)

    @property
    def agent(self) -> str | None:
        return AGENT if self.errand is None else None


@dataclass
class Load:
    """The sessions of one fault, and all that is sent in them. Everything random comes from `random`."""

    random: random.Random
    seen: Counter[str]
    chats: list[Chat] = field(default_factory=list)
    watchers: list[Watcher] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    _deciders: list["asyncio.Task[None]"] = field(default_factory=list)
    _to_plan: dict[str, Part] = field(default_factory=lambda: dict(_PLANNED))

    async def open(self, apis: list[Api]) -> None:
        """Make the sessions, in a project of each user, and watch them."""
        projects = [(api, (await _new_project(api))["id"]) for api in apis]
        for place in range(1 + len(WAYS)):
            api, project_id = projects[place % len(projects)]
            self.chats.append(await api.new_chat(project_id))
        self.watchers = [Watcher(chat, self.seen) for chat in self.chats]
        for watcher in self.watchers:
            watcher.start()

    async def close(self) -> None:
        for decider in self._deciders:
            decider.cancel()
        await asyncio.gather(*self._deciders, return_exceptions=True)
        await asyncio.gather(*(watcher.stop() for watcher in self.watchers))

    async def decided(self) -> None:
        """Return when nobody has anything left to decide."""
        await asyncio.gather(*self._deciders)

    async def wave(self) -> None:
        """Send once in every session, and return when everything is accepted and the waiting senders have heard."""
        queueing, *others = self.chats
        # Later ones only add to the queue: the agents must keep up.
        senders = [
            self._queue(queueing, 1 if self.sent else QUEUED_MESSAGES),
            *(self._use(chat, way) for chat, way in zip(others, WAYS, strict=True)),
        ]
        await asyncio.gather(*senders)

    async def _queue(self, chat: Chat, messages: int) -> None:
        for _ in range(messages):
            await self._insist(self._new(chat, "queue", quick=True))

    async def _use(self, chat: Chat, way: str) -> None:
        if way == "act":
            await self._act(chat)
            return
        sent = self._new(chat, way)
        match way:
            case "send":
                await self._insist(sent, waiting=True)
            case "stream":
                await self._stream(sent)
            case "cancel":
                sent.may_be_cancelled = True
                await self._insist(sent)
                await asyncio.sleep(self.random.uniform(0, 0.6))
                await self._cancel(sent)
            case "replace":
                await self._insist(sent)
                await asyncio.sleep(self.random.uniform(0, 0.6))
                for earlier in self.sent:
                    earlier.may_be_cancelled |= earlier.chat is chat
                await self._insist(self._new(chat, way), on_busy="replace")
            case _:
                await self._insist(sent)

    async def _act(self, chat: Chat) -> None:
        acted = sum(sent.action is not None for sent in self.sent)
        if acted and (acted == MOST_ACTING or self.random.random() >= _ACTING_SHARE):
            return
        marker = f"m-{self.random.getrandbits(64):016x}"
        action = acting(marker, self.random)
        is_planned = self.random.random() < _PLANNED_ACTING_SHARE
        errand = lingering("working", marker, self.random, action) if is_planned else None
        sent = Sent(chat, "act", marker, action.script, errand, action)
        self.sent.append(sent)
        await self._insist(sent)
        if sent.run_id is not None:
            decider = Decider(chat, sent.run_id, random.Random(f"{marker} decisions"), self.seen, self.violations)
            deciding = decider.decide(DECIDED_WITHIN)
            self._deciders.append(asyncio.create_task(deciding, name=f"decide {sent.run_id}"))

    def _new(self, chat: Chat, way: str, *, quick: bool = False) -> Sent:
        marker = f"m-{self.random.getrandbits(64):016x}"
        part = self._to_plan.pop(way, None)
        if part is None and self.random.random() < _PLANNED_SHARE:
            part = self.random.choice(PARTS)
        errand = None if part is None else lingering(part, marker, self.random)
        sent = Sent(chat, way, marker, self._script(marker, quick), errand)
        self.sent.append(sent)
        return sent

    def _script(self, marker: str, quick: bool) -> Script:
        return Script(
            answer=f"𝄞 {marker} é 中 and more. " * 8,
            chunks=self.random.randint(5, 12 if quick else 25),
            first_token_seconds=self.random.choice([0, 0.05, 0.1]),
            token_seconds=self.random.choice([0.01, 0.03, 0.05]),
        )

    async def _insist(self, sent: Sent, *, waiting: bool = False, **fields: Any) -> None:
        """Send until it is accepted (`waiting`: until it is answered); again under the same request_id."""
        body = {"content": sent.content, "target_agent": sent.agent, "request_id": sent.request_id, **fields}
        path, good = (f"{sent.chat.path}/message", 200) if waiting else (f"{sent.chat.project_path}/runs", 201)
        if not waiting:
            body["session_id"] = sent.chat.session_id
        deadline = time.monotonic() + ACCEPTED_WITHIN
        while time.monotonic() < deadline:
            try:
                response = await sent.chat.http.post(path, json=body, timeout=ACCEPTED_WITHIN)
            except httpx.TransportError as error:
                self.seen[f"{sent.way}: {type(error).__name__}"] += 1
            else:
                told = response.json()
                if response.status_code == good:
                    sent.run_id = told["run_id" if waiting else "id"]
                    if waiting and told["content"] != sent.expected:
                        self.violations.append(f"{sent.marker} was answered with other words: {told}")
                    return
                if "run_reason" in told.get("metadata", {}):
                    # It failed; whether for a reason that is permitted, the ledger tells.
                    return
                self._excuse(sent, response)
            await asyncio.sleep(_AGAIN_AFTER_SECONDS)
        self.violations.append(f"{sent.way} {sent.marker} was not accepted within {ACCEPTED_WITHIN:g} s")

    async def _stream(self, sent: Sent) -> None:
        deadline = time.monotonic() + ACCEPTED_WITHIN
        while time.monotonic() < deadline:
            try:
                streaming = sent.chat.stream(sent.content, target_agent=sent.agent, request_id=sent.request_id)
                async with streaming as stream:
                    watch = await stream.to_end()
            except (httpx.TransportError, StreamBroken) as error:
                self.seen[f"stream: {type(error).__name__}"] += 1
            except AssertionError as error:
                if not any(refusal in str(error) for refusal in REFUSALS):
                    self.violations.append(f"stream {sent.marker}: {error}")
                    return
                self.seen["stream: refused"] += 1
            else:
                finals = [event for event in watch.events if event["final"]]
                if finals:
                    sent.run_id = finals[0]["run_id"]
                    self._heard(sent, finals, list(watch.answers.texts.values()))
                    return
                self.seen[f"stream: {watch.ended['reason']}"] += 1
            await asyncio.sleep(_AGAIN_AFTER_SECONDS)
        self.violations.append(f"stream {sent.marker} did not end within {ACCEPTED_WITHIN:g} s")

    def _heard(self, sent: Sent, finals: list[dict[str, Any]], texts: list[str]) -> None:
        if len(finals) > 1:
            self.violations.append(f"stream {sent.marker} ended more than once: {finals}")
        if finals[0]["type"] in ("agent_completed", "orchestration_completed"):
            # With its process the end of the text may be lost, or all of it: the final event has the whole.
            whole = finals[0]["payload"]["message"]["content"]
            written = [whole] if sent.errand is None else texts_of(sent.errand)
            known = all(any(each.startswith(text) for each in written) for text in texts)
            if whole != sent.expected or not known:
                self.violations.append(f"stream {sent.marker} told other words: {whole!r} after {texts}")

    async def _cancel(self, sent: Sent) -> None:
        deadline = time.monotonic() + ACCEPTED_WITHIN
        while sent.run_id is not None and time.monotonic() < deadline:
            try:
                response = await sent.chat.cancel(sent.run_id)
            except httpx.TransportError as error:
                self.seen[f"cancel: {type(error).__name__}"] += 1
            else:
                if response.status_code == 200 or response.json()["reason"] == "RUN_FINISHED":
                    return
                self._excuse(sent, response)
            await asyncio.sleep(_AGAIN_AFTER_SECONDS)
        self.violations.append(f"{sent.marker} could not be cancelled within {ACCEPTED_WITHIN:g} s")

    def _excuse(self, sent: Sent, response: httpx.Response) -> None:
        reason = str(response.json()["reason"])
        if response.status_code not in _EXCUSED_STATUS and reason not in _EXCUSED:
            self.violations.append(f"{sent.way} {sent.marker} was answered {response.status_code} {response.text}")
        self.seen[f"{sent.way}: {reason}"] += 1


async def _new_project(api: Api) -> Event:
    """A project, as soon as the gateway's own connection is back: for a moment it knows better than that who serves."""

    async def there() -> Event | None:
        response = await api.http.post("/my/projects", json={"name": "Lab"})
        if response.status_code == 503:
            return None
        assert response.status_code == 201, response.text
        made: Event = response.json()
        return made

    project: Event = await eventually(there, what="a project")
    return project
