"""A user who decides what a run asks: at once, late or never, and again until somebody takes it."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Literal

import httpx

from tests.e2e.approving import approve, path_of, reject
from tests.e2e.client import FINAL_STATES, Chat
from tests.e2e.events import Event

Choice = Literal["approved", "rejected", "left open"]
EXPIRES_SECONDS = 6.0
"""How long a question waits: so short that a game can wait for it, and longer than what comes late."""
_LATEST_SECONDS = 2.0
_LOOKS_EVERY_SECONDS = 0.2
_EXCUSED_STATUS = {503, 504}


@dataclass
class Decider:
    """Watches one run until it is over. How a question is decided is drawn when it is seen, and stays."""

    chat: Chat
    run_id: str
    random: random.Random
    seen: Counter[str]
    violations: list[str]
    _choices: dict[str, tuple[Choice, float]] = field(default_factory=dict)
    """How each approval is decided, and from when on."""

    async def decide(self, within: float) -> None:
        """Decide whatever the run asks until it is over; after so many seconds that it is not is a violation."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            response = await self._asked(self.chat.http.get(f"{self.chat.project_path}/runs/{self.run_id}"))
            if response is not None and response.status_code == 200:
                run = response.json()
                if run["state"] in FINAL_STATES:
                    return
                await asyncio.gather(*(self._settle(approval) for approval in run["approvals"]))
            elif response is not None:
                self.violations.append(f"run {self.run_id} was answered {response.status_code} {response.text}")
                return
            await asyncio.sleep(_LOOKS_EVERY_SECONDS)
        self.violations.append(f"run {self.run_id} was not over after {within:g} s of decisions: {self._choices}")

    async def _settle(self, approval: Event) -> None:
        choice, since = self._choices.setdefault(approval["id"], self._drawn())
        if choice == "left open" or time.monotonic() < since:
            return
        response = await self._asked((approve if choice == "approved" else reject)(self.chat, approval))
        if response is None:
            return
        told = response.json()
        state = told["state"] if response.status_code == 200 else told.get("metadata", {}).get("state")
        # Unless its time was over first, or its run.
        if state not in ({choice} if response.status_code == 200 else {"expired", "cancelled"}):
            self.violations.append(
                f"{path_of(self.chat, approval)} was {choice}, and that was answered"
                f" {response.status_code} {response.text}"
            )
        self.seen[f"decision: {state}"] += 1

    def _drawn(self) -> tuple[Choice, float]:
        choices: list[Choice] = ["approved", "rejected", "left open"]
        [choice] = self.random.choices(choices, (78, 18, 4))
        late = self.random.uniform(0, _LATEST_SECONDS) if self.random.random() < 0.4 else 0.0
        return choice, time.monotonic() + late

    async def _asked(self, request: Awaitable[httpx.Response]) -> httpx.Response | None:
        """The answer; None if nobody is there to give one."""
        try:
            response = await request
        except httpx.TransportError as error:
            self.seen[f"decide: {type(error).__name__}"] += 1
            return None
        if response.status_code in _EXCUSED_STATUS:
            self.seen[f"decide: {response.json()['reason']}"] += 1
            return None
        return response
