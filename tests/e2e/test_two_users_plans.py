"""Two users, whose agents have the same names, have their messages planned at the same time: nothing of them meets."""

import asyncio
import json
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.e2e.client import Api, Chat, answer
from tests.e2e.events import Event
from tests.e2e.plans import Errand, Step, giving, said, states, tellable, told
from tests.fakes.openai_server import FakeModel

pytestmark = pytest.mark.one_layout

NAMES = ("Scout", "Smith", "Scribe")
AT_ONCE = 3
LONGEST_PLAN = 5
ROUNDS = 2


@dataclass
class Person:
    """A user with a word of their own, which stands in all that is theirs, and nowhere else."""

    api: Api
    word: str
    chats: Sequence[Chat]
    agents: dict[str, str]
    """Ids by name."""

    @property
    def secrets(self) -> list[str]:
        """What nobody else must ever see."""
        return [self.word, self.project_id, *(chat.session_id for chat in self.chats), *self.agents.values()]

    @property
    def project_id(self) -> str:
        return self.chats[0].project_id

    async def runs(self) -> list[Event]:
        return await self._listed("runs", "runs")

    async def messages(self) -> list[Event]:
        return [message for chat in self.chats for message in await chat.messages()]

    async def memories(self) -> list[Event]:
        """What the agents remember."""
        return [each for id in self.agents.values() for each in await self._listed(f"agents/{id}/memory", "memories")]

    async def _listed(self, what: str, name: str) -> list[Event]:
        path = f"/my/projects/{self.project_id}/{what}"
        page = await answer(self.api.http.get(path, params={"page_size": 200}))
        assert page["next_page_token"] == ""
        listed: list[Event] = page[name]
        return listed


async def person(api: Api, word: str) -> Person:
    first = await api.new_chat()
    chats = [first, *[await api.new_chat(first.project_id) for _ in range(AT_ONCE - 1)]]
    path = f"{first.project_path}/agents"
    for starter in (await answer(api.http.get(path)))["agents"]:
        assert (await api.http.delete(f"{path}/{starter['id']}")).status_code == 204
    agents = {}
    for name in NAMES:
        wanted = {"name": name, "config": {"system_prompt": f"You are {name} of {word}."}}
        agents[name] = (await answer(api.http.post(path, json=wanted), 201))["id"]
    return Person(api, word, chats, agents)


def errand(chance: random.Random, word: str) -> Errand:
    """A random graph. In other words than their owner's it is like everybody's, so that memories would be recalled."""
    steps: list[Step] = []
    for number in range(chance.randint(1, LONGEST_PLAN)):
        before = [step.id for step in steps]
        script = giving(f"Result {number} of {word}.", token_seconds=chance.choice([0, 0.005]))
        if chance.random() < 0.15:
            script = giving(script.answer, status=400)
        depends_on = sorted(chance.sample(before, chance.randint(0, min(2, len(before)))))
        steps.append(Step(str(number), depends_on, script, chance.choice(NAMES), f"Find part {number} of {word}."))
    return Errand(steps, combining=giving(f"All that {word} asked for."))


async def run_errand(chat: Chat, errand: Errand) -> tuple[Event, list[Event]]:
    """The run, and what a watcher of its session saw of it."""
    async with chat.watch() as stream:
        await stream.read()
        started = await chat.start(errand.content, target_agent=None)
        await stream.until("orchestration_completed", "run_failed")
        return await chat.run_after(started["id"]), stream.watch.events


@pytest.mark.parametrize("seed", [1, 2])
async def test_plans_of_two_users_that_run_at_the_same_time_never_meet(
    ann: Api, bob: Api, model: FakeModel, seed: int
) -> None:
    chance = random.Random(seed)
    people = [await person(api, f"{name}-{uuid.uuid4()}") for api, name in ((ann, "Anna"), (bob, "Robert"))]
    seen: dict[str, list[Event]] = {each.word: [] for each in people}
    for _ in range(ROUNDS):
        planned = [(each, chat, errand(chance, each.word)) for each in people for chat in each.chats]
        watched = await asyncio.gather(*(run_errand(chat, errand) for _, chat, errand in planned))
        for (each, _, one), (run, events) in zip(planned, watched, strict=True):
            assert told(events) == tellable(run["plan"]["tasks"])
            assert [(task["id"], task["agent_id"]) for task in run["plan"]["tasks"]] == [
                (step.id, each.agents[step.agent]) for step in one.steps
            ]
            assert states(run) == outcomes(one)
            seen[each.word] += [run, *events]
    for each, other in (people, people[::-1]):
        prompts = [said(exchange) for exchange in model.exchanges() if each.word in said(exchange)]
        assert len(prompts) == sum(run["usage"]["model_calls"] for run in await each.runs())
        # Otherwise nothing was recalled, and this shows little.
        assert [prompt for prompt in prompts if "# What you remember" in prompt]
        for thing in [*prompts, *seen[each.word], *await each.runs(), *await each.messages(), *await each.memories()]:
            text = json.dumps(thing, ensure_ascii=False)
            assert not [secret for secret in other.secrets if secret in text], text


def outcomes(errand: Errand) -> dict[str, str]:
    """What its tasks must come to."""
    found: dict[str, str] = {}
    for step in errand.steps:
        skipped = any(found[id] != "succeeded" for id in step.depends_on)
        found[step.id] = "skipped" if skipped else "failed" if step.script.faulty else "succeeded"
    return found
