"""How a life of two users is led: what may be drawn for it, and the ways to ask for what is in it."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import hypothesis.strategies as st
from hypothesis import note
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.e2e.doors import Answer, Caller, Door
from tests.e2e.suite import Suite
from tests.e2e.truth import STARTER_PACK, Agent, Json, Keyed, Project, Run, Session
from tests.fakes.openai_server import FakeModel

Result = TypeVar("Result")

OWNER, STRANGER, ELSEWHERE = "its owner", "a stranger", "its owner in another project"
doors = st.sampled_from(Door)
users = st.sampled_from([0, 1])
# Mostly those who may.
approaches = st.sampled_from([OWNER] * 6 + [STRANGER, ELSEWHERE])
lines = st.sampled_from(["Novel", "Poem", "𝄞 é"])
texts = lines | st.sampled_from([" two\nlines ", "U+2028\u2028 ends a line"])
names = st.sampled_from(["Ada", "Grace", "𝄞", STARTER_PACK[0]])
page_sizes = st.integers(1, 5)
agent_configs = st.fixed_dictionaries(
    {},
    optional={
        "system_prompt": texts,
        "temperature": st.sampled_from([0.0, 0.7, 1.25]),
        "burst_limit": st.sampled_from([None, 3]),
        "tools": st.lists(st.sampled_from(["search_memory", "ask_agent"]), max_size=2, unique=True),
        "memory": st.fixed_dictionaries({"top_k": st.integers(0, 3)}),
        "metadata": st.dictionaries(st.sampled_from("ab"), st.sampled_from([None, True, 1.5, "x", ["y"], {"z": 0.0}])),
    },
)


def nth(things: list[Result], number: int) -> Result:
    return things[number % len(things)]


def fields(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({}, optional=strategies)


@dataclass(frozen=True)
class Stage:
    """The suite, its model, two users of it, and the loop on which they are asked."""

    suite: Suite
    model: FakeModel
    callers: tuple[Caller, Caller]
    loop: asyncio.AbstractEventLoop

    def wait(self, work: Awaitable[Result]) -> Result:
        async def done() -> Result:
            return await work

        return asyncio.run_coroutine_threadsafe(done(), self.loop).result()


@dataclass(frozen=True)
class Pick:
    """Which of the things that were made is meant: mostly one that is still there."""

    number: int

    def out_of(self, things: list[Any]) -> Any:
        living = [each for each in things if not each.gone]
        dead = [each for each in things if each.gone]
        chosen = dead if dead and (self.number % 8 == 7 or not living) else living
        return chosen[self.number // 8 % len(chosen)]


def step(**strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """A rule whose picks are made among what the model holds when it is applied."""

    def decorate(method: Callable[..., None]) -> Any:
        @wraps(method)
        def apply(self: "Life", *given: Any, **drawn: Any) -> None:
            meant = {name: self.meant(name, value) for name, value in drawn.items()}
            if meant != drawn:
                note(f"# where {', '.join(f'{name} is {meant[name]}' for name in meant if meant[name] != drawn[name])}")
            method(self, *given, **meant)

        return rule(**strategies)(apply)

    return decorate


picks = st.builds(Pick, st.integers(0, 999))


class Life(RuleBasedStateMachine):
    """Two users, what they made so far, and how they ask for it."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        self.known: list[Project] = []
        self.keyed: list[Keyed] = []

    def meant(self, name: str, value: Any) -> Any:
        if not isinstance(value, Pick):
            return value
        match name:
            case "project":
                return value.out_of(self.known)
            case "made":
                return value.out_of(self.keyed)
            case _:
                things = [thing for project in self.known for thing in getattr(project, f"{name}s")]
                # Low numbers come most often: they shall mean what is new.
                return value.out_of(things[::-1])

    def ask(self, user: int, door: Door, rpc: str, **values: Any) -> Answer:
        return self.stage.wait(self.stage.callers[user].ask(door, rpc, **values))

    def reach(
        self, thing: Agent | Session | Run | Project, by: str, door: Door, rpc: str, **values: Any
    ) -> Json | None:
        """Ask for a thing in one of three ways; None, if it must not be found so, and was not."""
        project = thing if isinstance(thing, Project) else thing.project
        named, user = dict(thing.named), project.owner
        if by == STRANGER:
            user = 1 - user
        if by == ELSEWHERE and not isinstance(thing, Project):
            others = [each for each in self.of_user(project.owner) if each is not project]
            named["project_id"] = others[0].id if others else str(uuid.uuid4())
        found = by == OWNER or (by == ELSEWHERE and isinstance(thing, Project))
        answer = self.ask(user, door, rpc, **named, **values)
        if found and not thing.gone:
            made: Json = answer.made
            return made
        assert answer.code == "NOT_FOUND", f"{thing} was found by {by}: {answer}"
        return None

    def walk(
        self, user: int, door: Door, rpc: str, elements: str, size: int, **query: Any
    ) -> tuple[list[list[Json]], int]:
        """All pages of a list, and the total that every page must agree on."""
        pages, totals, token = [], set(), ""
        while True:
            page = self.ask(user, door, rpc, page_size=size, page_token=token, **query).made
            assert len(page[elements]) <= size
            pages.append(page[elements])
            totals.add(page["total"])
            token = page["next_page_token"]
            if not token:
                [total] = totals
                return pages, total

    def listed(self, project: Project, by: str, door: Door, rpc: str, elements: str, size: int, **query: Any) -> Any:
        """A list within a project as one; None if it must not be found, and was not."""
        if by != OWNER or project.deleted:
            # The list of what is not one's own: with ELSEWHERE there is no other project to name.
            by = STRANGER if by == ELSEWHERE else by
            return self.reach(project, by, door, rpc, page_size=size, **query)
        pages, total = self.walk(project.owner, door, rpc, elements, size, **project.named, **query)
        found = [each for page in pages for each in page]
        assert total == len(found)
        return found

    def of_user(self, user: int) -> list[Project]:
        return [each for each in self.known if each.owner == user and not each.deleted]
