"""What every AgentStore must do. Each backend runs all of it."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.agents.agent import Agent, AgentConfig, AgentDraft, MemoryConfig, Owner
from services.agents.errors import AgentNameTaken, AgentNotFound, ExecutionSuperseded, ProjectDeleted, ProjectNotFound
from services.agents.sql_store import SqlAgentStore
from services.agents.store import AgentPosition, AgentStore, Claim
from services.agents.tables import metadata
from services.runtime.errors import RequestIdReused
from services.runtime.idempotency import KEPT, RequestKey
from services.runtime.ids import new_id
from services.runtime.pages import PAGE_BYTES
from tests.databases import Place

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.fixture
async def store(database_place: Place) -> AgentStore:
    return SqlAgentStore(await database_place.with_tables(metadata))


@pytest.fixture
def owner() -> Owner:
    return Owner(new_id(), new_id())


def agent(owner: Owner, name: str = "Helper", created_at: datetime = NOW, config: AgentConfig | None = None) -> Agent:
    return Agent(new_id(), owner, name, config or AgentConfig(), "ready", 1, created_at, created_at)


async def space(store: AgentStore, owner: Owner) -> Agent:
    """Make the owner's worker space; return its only agent."""
    return (await store.create_space(owner, [agent(owner)]))[0]


def elsewhere(owner: Owner) -> list[Owner]:
    """Everybody who must not see what the owner has: another user, the own other project, both."""
    return [Owner(new_id(), owner.project_id), Owner(owner.user_id, new_id()), Owner(new_id(), new_id())]


def key(request_id: str, content: str = "") -> RequestKey:
    made = RequestKey.of("agents.create", request_id, content)
    assert made is not None
    return made


# Worker spaces


async def test_second_creation_of_a_space_returns_the_first_ones_agents(store: AgentStore, owner: Owner) -> None:
    first = await store.create_space(owner, [agent(owner, "A"), agent(owner, "B", NOW + timedelta(seconds=1))])
    assert [each.name for each in first] == ["B", "A"]
    assert await store.create_space(owner, [agent(owner, "C")]) == first


async def test_spaces_created_at_once_have_one_set_of_agents(store: AgentStore, owner: Owner) -> None:
    made = await asyncio.gather(*(store.create_space(owner, [agent(owner)]) for _ in range(20)))
    assert len({each[0].id for each in made}) == 1
    assert (await store.list_agents(owner, 50, None)).total == 1


async def test_space_belongs_to_its_first_user(store: AgentStore, owner: Owner) -> None:
    stranger = Owner(new_id(), owner.project_id)
    mine = await space(store, owner)
    with pytest.raises(ProjectNotFound):
        await space(store, stranger)
    assert await store.get_agent(owner, mine.id) == mine


async def test_users_who_race_for_a_project_leave_it_one_owner(store: AgentStore) -> None:
    project_id = new_id()
    racers = [Owner(new_id(), project_id) for _ in range(10)]
    ends = await asyncio.gather(*(space(store, racer) for racer in racers), return_exceptions=True)
    assert sum(isinstance(end, Agent) for end in ends) == 1
    assert sum(isinstance(end, ProjectNotFound) for end in ends) == 9


async def test_deleted_space_takes_its_agents_along_and_never_comes_back(store: AgentStore, owner: Owner) -> None:
    mine = await space(store, owner)
    await store.delete_space(owner, NOW)
    with pytest.raises(AgentNotFound):
        await store.get_agent(owner, mine.id)
    with pytest.raises(ProjectNotFound):
        await store.list_agents(owner, 50, None)
    with pytest.raises(ProjectNotFound):
        await store.create_agent(agent(owner, "Late"), None)
    with pytest.raises(AgentNotFound):
        await store.claim(owner, mine.id, Claim("run", "task", 1, 1), NOW)
    with pytest.raises(ProjectDeleted):
        await space(store, owner)
    await store.delete_space(owner, NOW)


async def test_space_deleted_before_its_creation_is_not_created(store: AgentStore, owner: Owner) -> None:
    await store.delete_space(owner, NOW)
    with pytest.raises(ProjectDeleted):
        await space(store, owner)


async def test_strangers_deletion_neither_touches_nor_hinders_the_owner(store: AgentStore, owner: Owner) -> None:
    stranger = Owner(new_id(), owner.project_id)
    await store.delete_space(stranger, NOW)
    mine = await space(store, owner)
    await store.delete_space(stranger, NOW)
    assert await store.get_agent(owner, mine.id) == mine
    assert await space(store, owner) == mine


async def test_of_creation_and_deletion_at_once_deletion_wins(store: AgentStore) -> None:
    for _ in range(5):
        owner = Owner(new_id(), new_id())
        await space(store, owner)
        late = [store.create_agent(agent(owner, f"Late {number}"), None) for number in range(4)]
        await asyncio.gather(*late[:2], store.delete_space(owner, NOW), *late[2:], return_exceptions=True)
        with pytest.raises(ProjectNotFound):
            await store.list_agents(owner, 50, None)


# Agents


async def test_agent_is_read_as_it_was_created(store: AgentStore, owner: Owner) -> None:
    await space(store, owner)
    config = AgentConfig(
        system_prompt="Ünïcødé 𝄞",
        model="m",
        tools=("a", "b"),
        concurrency_limit=7,
        burst_limit=9,
        temperature=0.0,
        max_tokens=1,
        memory=MemoryConfig(0, -0.5),
        metadata={"nested": {"list": [1, 2.5, None, True]}},
    )
    made = agent(owner, "Full", config=config)
    assert await store.create_agent(made, None) == made
    assert await store.get_agent(owner, made.id) == made
    assert await store.find_agent(owner, "Full") == made


async def test_name_is_found_exactly(store: AgentStore, owner: Owner) -> None:
    await space(store, owner)
    for name in ("helper", "Help", "Helper ", "%", ""):
        with pytest.raises(AgentNotFound):
            await store.find_agent(owner, name)


async def test_names_are_unique_in_a_project_only(store: AgentStore, owner: Owner) -> None:
    other = Owner(owner.user_id, new_id())
    await space(store, owner)
    await space(store, other)
    with pytest.raises(AgentNameTaken):
        await store.create_agent(agent(owner), None)


async def test_agents_created_at_once_under_one_name_are_one(store: AgentStore, owner: Owner) -> None:
    await space(store, owner)
    ends = await asyncio.gather(
        *(store.create_agent(agent(owner, "Same"), None) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(end, Agent) for end in ends) == 1
    assert sum(isinstance(end, AgentNameTaken) for end in ends) == 7


async def test_nobody_else_sees_changes_or_deletes_an_agent(store: AgentStore, owner: Owner) -> None:
    mine = await space(store, owner)
    for other in elsewhere(owner):
        with pytest.raises(AgentNotFound):
            await store.get_agent(other, mine.id)
        with pytest.raises(AgentNotFound):
            await store.find_agent(other, mine.name)
        with pytest.raises(AgentNotFound):
            await store.update_agent(other, mine.id, AgentDraft("Stolen"), frozenset({"name"}), NOW)
        with pytest.raises(AgentNotFound):
            await store.delete_agent(other, mine.id, NOW)
        with pytest.raises(AgentNotFound):
            await store.claim(other, mine.id, Claim("run", "task", 1, 1), NOW)
        with pytest.raises(ProjectNotFound):
            await store.list_agents(other, 50, None)
        with pytest.raises(ProjectNotFound):
            await store.create_agent(agent(other, "Planted"), None)
    assert await store.get_agent(owner, mine.id) == mine


async def test_pages_show_every_agent_once_newest_first_also_those_of_one_moment(
    store: AgentStore, owner: Owner
) -> None:
    await space(store, owner)
    for number in range(7):
        await store.create_agent(agent(owner, f"Agent {number}", NOW + timedelta(microseconds=number // 3)), None)
    seen: list[Agent] = []
    after: AgentPosition | None = None
    while True:
        page = await store.list_agents(owner, 3, after)
        assert page.total == 8
        seen += page.agents
        if not page.more:
            break
        after = (seen[-1].created_at, seen[-1].id)
    assert len(seen) == 8
    assert seen == sorted(seen, key=lambda each: (each.created_at, each.id), reverse=True)


async def test_page_of_long_agents_has_fewer(store: AgentStore, owner: Owner) -> None:
    await space(store, owner)
    for number in range(3):
        config = AgentConfig(system_prompt="x" * (PAGE_BYTES // 2))
        await store.create_agent(agent(owner, f"Agent {number}", NOW + timedelta(seconds=number + 1), config), None)
    page = await store.list_agents(owner, 50, None)
    assert [each.name for each in page.agents] == ["Agent 2", "Agent 1"]
    assert page.more


async def test_deleted_agent_is_gone_and_its_name_free(store: AgentStore, owner: Owner) -> None:
    mine = await space(store, owner)
    await store.delete_agent(owner, mine.id, NOW)
    with pytest.raises(AgentNotFound):
        await store.get_agent(owner, mine.id)
    with pytest.raises(AgentNotFound):
        await store.delete_agent(owner, mine.id, NOW)
    await store.create_agent(agent(owner), None)


# Updates


async def test_update_changes_what_the_paths_name_and_counts_the_revision(store: AgentStore, owner: Owner) -> None:
    mine = await space(store, owner)
    later = NOW + timedelta(hours=1)
    wanted = AgentDraft("Other", AgentConfig(system_prompt="new", temperature=1.5, memory=MemoryConfig(9, 0.9)))
    changed = await store.update_agent(
        owner, mine.id, wanted, frozenset({"config.temperature", "config.memory.top_k"}), later
    )
    config = AgentConfig(temperature=1.5, memory=MemoryConfig(top_k=9))
    assert changed == replace(mine, config=config, revision=2, updated_at=later)
    assert await store.get_agent(owner, mine.id) == changed
    assert (await store.update_agent(owner, mine.id, wanted, frozenset({"name"}), later)).revision == 3


async def test_updates_at_once_keep_each_others_changes(store: AgentStore, owner: Owner) -> None:
    mine = await space(store, owner)
    wanted = AgentDraft("Renamed", AgentConfig(system_prompt="p", model="m", max_tokens=5, burst_limit=3))
    paths = ["name", "config.system_prompt", "config.model", "config.max_tokens", "config.burst_limit"]
    await asyncio.gather(*(store.update_agent(owner, mine.id, wanted, frozenset({path}), NOW) for path in paths))
    changed = await store.get_agent(owner, mine.id)
    assert (changed.draft, changed.revision) == (wanted, 6)


async def test_rename_to_a_taken_name_changes_nothing(store: AgentStore, owner: Owner) -> None:
    mine = await space(store, owner)
    await store.create_agent(agent(owner, "Taken"), None)
    with pytest.raises(AgentNameTaken):
        await store.update_agent(owner, mine.id, AgentDraft("Taken"), frozenset({"name"}), NOW)
    assert await store.get_agent(owner, mine.id) == mine
    # Its own name is not taken.
    await store.update_agent(owner, mine.id, AgentDraft(mine.name), frozenset({"name"}), NOW)


# Request ids


async def test_second_creation_with_the_same_key_returns_the_first_agent(store: AgentStore, owner: Owner) -> None:
    await space(store, owner)
    first = await store.create_agent(agent(owner, "Once"), key("k"))
    assert await store.create_agent(agent(owner, "Once"), key("k")) == first
    with pytest.raises(RequestIdReused):
        await store.create_agent(agent(owner, "Twice"), key("k", "other content"))


async def test_key_of_a_deleted_agent_makes_no_second_one(store: AgentStore, owner: Owner) -> None:
    await space(store, owner)
    first = await store.create_agent(agent(owner, "Once"), key("k"))
    await store.delete_agent(owner, first.id, NOW)
    with pytest.raises(AgentNotFound):
        await store.create_agent(agent(owner, "Once"), key("k"))
    assert (await store.list_agents(owner, 10, None)).total == 1


async def test_key_lives_seven_days(store: AgentStore, owner: Owner) -> None:
    await space(store, owner)
    first = await store.create_agent(agent(owner, "Once"), key("k"))
    again = agent(owner, "Once", NOW + KEPT - timedelta(seconds=1))
    assert await store.create_agent(again, key("k")) == first
    with pytest.raises(AgentNameTaken):
        await store.create_agent(agent(owner, "Once", NOW + KEPT), key("k"))


async def test_twenty_creations_with_one_key_make_one_agent(store: AgentStore, owner: Owner) -> None:
    await space(store, owner)
    made = await asyncio.gather(*(store.create_agent(agent(owner, "Once"), key("k")) for _ in range(20)))
    assert len({each.id for each in made}) == 1
    assert (await store.list_agents(owner, 10, None)).total == 2


async def test_one_key_used_in_two_projects_at_once_makes_one_agent(store: AgentStore, owner: Owner) -> None:
    other = Owner(owner.user_id, new_id())
    await space(store, owner)
    await space(store, other)
    made = await asyncio.gather(
        *(store.create_agent(agent(each, "Once"), key("k", each.project_id)) for each in (owner, other) * 10),
        return_exceptions=True,
    )
    refused = [each for each in made if isinstance(each, BaseException)]
    assert {type(each) for each in refused} == {RequestIdReused}
    assert len(refused) == 10
    totals = [(await store.list_agents(each, 10, None)).total for each in (owner, other)]
    assert sorted(totals) == [1, 2]


async def test_users_do_not_share_keys(store: AgentStore, owner: Owner) -> None:
    other = Owner(new_id(), new_id())
    await space(store, owner)
    await space(store, other)
    first = await store.create_agent(agent(owner, "Once"), key("k"))
    assert (await store.create_agent(agent(other, "Once"), key("k"))).id != first.id


async def test_refused_creation_leaves_no_key(store: AgentStore, owner: Owner) -> None:
    await space(store, owner)
    with pytest.raises(AgentNameTaken):
        await store.create_agent(agent(owner), key("k"))
    await store.create_agent(agent(owner, "Free"), key("k", "other content"))


# Claims


@pytest.mark.parametrize(
    ("first", "second", "wins"),
    [
        ((1, 1), (1, 2), True),
        ((1, 9), (2, 1), True),
        ((1, 1), (1, 1), False),
        ((1, 2), (1, 1), False),
        ((2, 1), (1, 9), False),
    ],
)
async def test_later_attempt_wins_and_an_equal_or_earlier_one_is_refused(
    store: AgentStore, owner: Owner, first: tuple[int, int], second: tuple[int, int], wins: bool
) -> None:
    mine = await space(store, owner)
    assert await store.claim(owner, mine.id, Claim("run", "task", *first), NOW) == mine
    if wins:
        assert await store.claim(owner, mine.id, Claim("run", "task", *second), NOW) == mine
    else:
        with pytest.raises(ExecutionSuperseded):
            await store.claim(owner, mine.id, Claim("run", "task", *second), NOW)


async def test_attempt_that_waited_has_its_task_still_unless_a_later_one_took_it(
    store: AgentStore, owner: Owner
) -> None:
    mine = await space(store, owner)
    first, second = Claim("run", "task", 1, 1), Claim("run", "task", 2, 1)
    await store.claim(owner, mine.id, first, NOW)
    assert await store.reclaim(owner, mine.id, first) == mine
    await store.claim(owner, mine.id, second, NOW)
    with pytest.raises(ExecutionSuperseded):
        await store.reclaim(owner, mine.id, first)
    assert await store.reclaim(owner, mine.id, second) == mine
    await store.forget_claims(NOW + timedelta(seconds=1))
    with pytest.raises(ExecutionSuperseded):
        await store.reclaim(owner, mine.id, second)
    await store.delete_agent(owner, mine.id, NOW)
    with pytest.raises(AgentNotFound):
        await store.reclaim(owner, mine.id, second)


async def test_claims_of_other_tasks_runs_and_owners_do_not_meet(store: AgentStore, owner: Owner) -> None:
    mine = await space(store, owner)
    other = Owner(new_id(), new_id())
    theirs = await space(store, other)
    await store.claim(owner, mine.id, Claim("run", "task", 5, 5), NOW)
    await store.claim(owner, mine.id, Claim("run", "other task", 1, 1), NOW)
    await store.claim(owner, mine.id, Claim("other run", "task", 1, 1), NOW)
    await store.claim(other, theirs.id, Claim("run", "task", 1, 1), NOW)


async def test_forgotten_claims_are_those_from_before(store: AgentStore, owner: Owner) -> None:
    mine = await space(store, owner)
    await store.claim(owner, mine.id, Claim("run", "old", 2, 1), NOW)
    await store.claim(owner, mine.id, Claim("run", "new", 2, 1), NOW + timedelta(seconds=1))
    await store.forget_claims(NOW + timedelta(seconds=1))
    await store.claim(owner, mine.id, Claim("run", "old", 1, 1), NOW)
    with pytest.raises(ExecutionSuperseded):
        await store.claim(owner, mine.id, Claim("run", "new", 1, 1), NOW)


async def test_one_attempt_claimed_at_once_is_had_once(store: AgentStore, owner: Owner) -> None:
    mine = await space(store, owner)
    ends = await asyncio.gather(
        *(store.claim(owner, mine.id, Claim("run", "task", 1, 1), NOW) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(end, Agent) for end in ends) == 1
    assert sum(isinstance(end, ExecutionSuperseded) for end in ends) == 7


async def test_transactions_cancelled_at_any_point_hold_nothing_up(store: AgentStore, owner: Owner) -> None:
    mine = await space(store, owner)
    ends: list[object] = []  # Kept: an exception holds the frames it came through, and they what they held.
    for number in range(60):
        async with asyncio.timeout(8):  # A lock that is left behind is waited for longer.
            claim = asyncio.create_task(store.claim(owner, mine.id, Claim("run", f"task {number}", 1, 1), NOW))
            for _ in range(number * 2):
                await asyncio.sleep(0)
            claim.cancel()
            ends += await asyncio.gather(claim, return_exceptions=True)
            assert await store.claim(owner, mine.id, Claim("run", f"next {number}", 1, 1), NOW) == mine
    assert any(isinstance(end, asyncio.CancelledError) for end in ends)
