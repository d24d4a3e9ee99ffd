"""What an agent remembers, as its owner sees, searches, corrects and deletes it over HTTP."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.client import AGENT, Api, Chat, answer, problem
from tests.e2e.events import Event
from tests.e2e.polling import eventually
from tests.e2e.suite import Suite

pytestmark = pytest.mark.one_layout

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
NOTES: list[dict[str, Any]] = [
    {"content": "The parser loses the last line of a file.", "tags": ["parser", "bug"], "interaction_type": "task"},
    {"content": "The printer is out of paper.", "tags": ["office"], "success": False},
    {"content": "Error ERR_4711 comes from the parser of invoices.", "tags": ["parser"], "interaction_type": "tool"},
    {"content": "Tea is served at four, with a file of biscuits.", "tags": ["office"]},
    {"content": "The last release broke the parser.", "tags": ["parser", "bug", "release"], "success": False},
]


def at(hours: int) -> str:
    return (START + timedelta(hours=hours)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def log_of(suite: Suite) -> list[str]:
    return [line for path in suite.folder.glob("*.log") for line in path.read_text(errors="replace").splitlines()]


class Memory:
    """The memory of one agent."""

    def __init__(self, api: Api, chat: Chat, agent_id: str) -> None:
        self.http, self.chat, self.agent_id = api.http, chat, agent_id
        self.path = f"{chat.project_path}/agents/{agent_id}/memory"

    async def add(self, content: str, **fields: Any) -> Event:
        return await answer(self.http.post(self.path, json={"content": content, **fields}), 201)

    async def page(self, **query: Any) -> Event:
        return await answer(self.http.get(self.path, params=query))

    async def contents(self, **query: Any) -> list[str]:
        return [memory["content"] for memory in (await self.page(**query))["memories"]]


@pytest_asyncio.fixture
async def memory(ann: Api) -> Memory:
    """An empty one."""
    chat = await ann.new_chat()
    agents = (await answer(ann.http.get(f"{chat.project_path}/agents")))["agents"]
    return Memory(ann, chat, next(agent["id"] for agent in agents if agent["name"] == AGENT))


@pytest_asyncio.fixture
async def notes(memory: Memory) -> Memory:
    """One with the notes, an hour apart."""
    for hours, note in enumerate(NOTES):
        await memory.add(**{"timestamp": at(hours), **note})
    return memory


async def test_memory_that_is_added_has_the_servers_defaults_and_is_read_again(memory: Memory) -> None:
    made = await memory.add("Tea at four.")
    assert (made["agent_id"], made["interaction_type"], made["success"]) == (memory.agent_id, "direct_call", True)
    assert (made["session_id"], made["tags"], made["metadata"], made["score"]) == (None, [], {}, None)
    assert await answer(memory.http.get(f"{memory.path}/{made['id']}")) == made
    assert (await memory.page()) == {"memories": [made], "total": 1, "next_page_token": ""}


async def test_memory_keeps_all_that_it_was_given(memory: Memory) -> None:
    given = {
        "content": "Bréf. 𝄞\nLine two. \N{FAMILY}",
        "interaction_type": "tool",
        "timestamp": "2020-02-29T23:59:59.123Z",
        "success": False,
        "tags": ["a", "ü b"],
        "metadata": {"deep": {"list": [1, None, "x", 2.5]}},
    }
    made = await memory.add(**given)
    assert {name: made[name] for name in given} == given


async def test_what_the_server_sets_is_ignored(memory: Memory) -> None:
    made = await memory.add("Mine.", id=str(uuid.uuid4()), agent_id="x", session_id=str(uuid.uuid4()), score=0.5)
    assert (made["agent_id"], made["session_id"], made["score"]) == (memory.agent_id, None, None)


async def test_same_content_is_one_memory_with_the_later_values(memory: Memory) -> None:
    first = await memory.add("Tea at four.", tags=["old"])
    second = await memory.add("  tea AT   four.", tags=["new"])
    assert second["id"] == first["id"]
    page = await memory.page()
    assert (page["total"], page["memories"][0]["tags"]) == (1, ["new"])


async def test_corrected_memory_is_not_overwritten_by_its_old_words(memory: Memory) -> None:
    first = await memory.add("Tea at four.")
    corrected = await answer(memory.http.patch(f"{memory.path}/{first['id']}", json={"content": "Tea at five."}))
    again = await memory.add("Tea at four.")
    assert again["id"] != first["id"]
    assert (await memory.add("Tea at four."))["id"] == again["id"]
    assert sorted(await memory.contents()) == ["Tea at five.", "Tea at four."]
    assert corrected["id"] == first["id"]


async def test_list_is_newest_first_and_paged_without_gap_or_repeat(notes: Memory) -> None:
    expected = [note["content"] for note in reversed(NOTES)]
    assert await notes.contents() == expected
    for size in (1, 2, 3, 5):
        seen, token = [], ""
        while True:
            page = await notes.page(page_size=size, page_token=token)
            assert page["total"] == len(NOTES)
            seen += [each["content"] for each in page["memories"]]
            if not (token := page["next_page_token"]):
                break
        assert seen == expected


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"interaction_type": "task"}, [0]),
        ({"interaction_type": ["task", "tool"]}, [2, 0]),
        ({"success": "false"}, [4, 1]),
        ({"success": "true"}, [3, 2, 0]),
        ({"tag": "parser"}, [4, 2, 0]),
        ({"tag": ["parser", "bug"]}, [4, 0]),
        ({"tag": ["parser", "office"]}, []),
        ({"since": at(3)}, [4, 3]),
        ({"until": at(3)}, [2, 1, 0]),
        ({"since": at(1), "until": at(2)}, [1]),
        ({"text": "PARSER last"}, [4, 0]),
        ({"text": "pars"}, []),
        ({"text": "err_4711"}, [2]),
        ({"text": "parser", "success": "true", "tag": "bug"}, [0]),
        ({"session_id": "5b2d6c1e-0000-4000-8000-000000000001"}, []),
    ],
    ids=str,
)
async def test_filters_choose_what_is_listed_counted_and_searched(
    notes: Memory, query: dict[str, Any], found: list[int]
) -> None:
    expected = [NOTES[number]["content"] for number in found]
    page = await notes.page(**query)
    assert [each["content"] for each in page["memories"]] == expected
    assert page["total"] == len(expected)
    for mode in ("semantic", "hybrid"):
        assert sorted(await notes.contents(q="parser file tea", mode=mode, **query)) == sorted(expected)


async def test_filter_by_session_finds_what_was_said_in_it(memory: Memory) -> None:
    other = Chat(memory.http, memory.chat.project_id, memory.chat.session_id)
    await answer(other.send("Said in the session."))
    await memory.add("Added by hand.")
    [found] = (await memory.page(session_id=memory.chat.session_id.upper()))["memories"]
    assert found["content"].startswith("Said in the session.")
    assert found["session_id"] == memory.chat.session_id


async def test_search_by_text_ranks_by_words_and_finds_identifiers(notes: Memory) -> None:
    page = await notes.page(q="what is err_4711?", mode="text")
    assert page["memories"][0]["content"] == NOTES[2]["content"]
    assert page["memories"][0]["score"] > 0
    found = await notes.page(q="parser release", mode="text")
    assert found["memories"][0]["content"] == NOTES[4]["content"]
    assert found["total"] == len(found["memories"]) == 3
    assert [each["score"] for each in found["memories"]] == sorted(
        (each["score"] for each in found["memories"]), reverse=True
    )
    assert await notes.contents(q="nobody said this", mode="text") == []
    assert await notes.contents(q="?!", mode="text") == []


async def test_search_by_meaning_has_cosines_and_a_least_one(notes: Memory) -> None:
    page = await notes.page(q=NOTES[0]["content"])
    assert page["memories"][0]["content"] == NOTES[0]["content"]
    assert page["memories"][0]["score"] == pytest.approx(1.0, abs=1e-4)
    assert page["total"] == len(NOTES)
    assert await notes.contents(q=NOTES[0]["content"], min_score=0.99) == [NOTES[0]["content"]]
    hybrid = await notes.page(q=NOTES[0]["content"], mode="hybrid")
    assert hybrid["memories"][0]["score"] == pytest.approx(1.0)


@pytest.mark.parametrize("mode", ["semantic", "text", "hybrid"])
async def test_search_is_paged_without_gap_or_repeat(notes: Memory, mode: str) -> None:
    whole = await notes.contents(q="the parser of a file", mode=mode)
    seen, token = [], ""
    while True:
        page = await notes.page(q="the parser of a file", mode=mode, page_size=2, page_token=token)
        seen += [each["content"] for each in page["memories"]]
        if not (token := page["next_page_token"]):
            break
    assert seen == whole
    assert len(seen) == len(set(seen))


async def test_patch_changes_its_keys_alone_and_new_content_is_what_is_found(notes: Memory) -> None:
    [old] = (await notes.page(text="printer"))["memories"]
    path = f"{notes.path}/{old['id']}"
    tagged = await answer(notes.http.patch(path, json={"tags": ["x"], "metadata": {"a": 1}}))
    assert tagged == {**old, "tags": ["x"], "metadata": {"a": 1}}
    changed = await answer(notes.http.patch(path, json={"content": "Elephants never forget."}))
    assert changed == {**tagged, "content": "Elephants never forget."}
    for mode in ("semantic", "text", "hybrid"):
        assert (await notes.contents(q="elephants forget", mode=mode))[0] == "Elephants never forget."
    assert await notes.contents(text="printer") == []
    assert await answer(notes.http.patch(path, json={})) == changed
    assert (await notes.page())["total"] == len(NOTES)


async def test_deleted_memory_is_gone_from_every_search(notes: Memory) -> None:
    [doomed] = (await notes.page(text="tea"))["memories"]
    path = f"{notes.path}/{doomed['id']}"
    assert (await notes.http.delete(path)).status_code == 204
    problem(await notes.http.delete(path), 404, "MEMORY_NOT_FOUND")
    problem(await notes.http.get(path), 404, "MEMORY_NOT_FOUND")
    problem(await notes.http.patch(path, json={"tags": ["x"]}), 404, "MEMORY_NOT_FOUND")
    for query in ({}, {"q": "tea"}, {"q": "tea", "mode": "text"}, {"q": "tea", "mode": "hybrid"}):
        assert doomed["content"] not in await notes.contents(**query)


async def test_delete_by_filter_says_how_many_and_without_one_needs_to_be_told_all(notes: Memory) -> None:
    refused = problem(await notes.http.delete(notes.path), 422, "FILTER_REQUIRED")
    assert [error["field"] for error in refused["errors"]] == ["all"]
    assert await answer(notes.http.delete(notes.path, params={"tag": "nobody has it"})) == {"deleted": 0}
    assert await answer(notes.http.delete(notes.path, params={"tag": "parser", "success": "true"})) == {"deleted": 2}
    assert (await notes.page())["total"] == len(NOTES) - 2
    assert await answer(notes.http.delete(notes.path, params={"all": "true"})) == {"deleted": len(NOTES) - 2}
    assert await notes.page() == {"memories": [], "total": 0, "next_page_token": ""}
    assert (await notes.add("And on."))["content"] == "And on."


async def test_agent_that_remembers_nothing_has_empty_lists(memory: Memory) -> None:
    empty = {"memories": [], "total": 0, "next_page_token": ""}
    assert await memory.page() == await memory.page(q="x") == await memory.page(q="x", mode="hybrid") == empty
    assert await answer(memory.http.delete(memory.path, params={"all": "true"})) == {"deleted": 0}
    problem(await memory.http.get(f"{memory.path}/{uuid.uuid4()}"), 404, "MEMORY_NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "content"),
        ({"content": ""}, "content"),
        ({"content": " \n "}, "content"),
        ({"content": "x" * 100_001}, "content"),
        ({"content": "x\0"}, "content"),
        ({"content": "x", "tags": [""]}, "tags[0]"),
        ({"content": "x", "tags": ["t"] * 51}, "tags"),
        ({"content": "x", "metadata": {"a": "x" * 16_400}}, "metadata"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_bad_memory_is_refused_by_the_name_of_its_field_and_nothing_is_kept(
    memory: Memory, body: dict[str, Any], field: str
) -> None:
    refused = problem(await memory.http.post(memory.path, json=body), 422, "INVALID_ARGUMENT")
    assert field in [error["field"] for error in refused["errors"]]
    assert (await memory.page())["total"] == 0


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"mode": "psychic"}, 422),
        ({"success": "perhaps"}, 400),
        ({"since": "yesterday"}, 422),
        ({"interaction_type": "gossip"}, 422),
        ({"q": "x" * 10_001}, 422),
        ({"min_score": "2", "q": "x"}, 422),
        ({"page_size": "-1"}, 422),
        ({"page_token": "AAAA"}, 400),
        ({"tag": ["t"] * 51}, 422),
        ({"colour": "red"}, 400),
    ],
    ids=str,
)
async def test_bad_query_is_refused(memory: Memory, query: dict[str, Any], status: int) -> None:
    assert (await memory.http.get(memory.path, params=query)).status_code == status


async def test_page_token_of_a_search_does_not_open_another(notes: Memory) -> None:
    token = (await notes.page(q="parser", page_size=1))["next_page_token"]
    for query in ({}, {"q": "tea"}, {"q": "parser", "mode": "text"}, {"q": "parser", "tag": "bug"}):
        problem(await notes.http.get(notes.path, params={**query, "page_token": token}), 400, "INVALID_PAGE_TOKEN")


async def test_what_is_searched_for_is_not_logged(notes: Memory, suite: Suite) -> None:
    secret = uuid.uuid4().hex
    await notes.page(q=f"parser {secret}", text="parser", page_size=7)
    await notes.page(text=secret)
    served = await eventually(lambda: [line for line in log_of(suite) if "page_size=7" in line])
    assert "q=REDACTED" in served[0]
    assert not any(secret in line for line in log_of(suite))


async def test_conversation_is_remembered_as_what_was_asked_and_answered(memory: Memory) -> None:
    reply = await answer(memory.chat.send("What is the capital of France?"))
    [kept] = (await memory.page())["memories"]
    assert kept["content"] == f"What is the capital of France?\n\n{reply['content']}"
    assert (kept["interaction_type"], kept["success"], kept["session_id"]) == (
        *("direct_call", True),
        memory.chat.session_id,
    )


async def test_agent_without_recall_still_remembers(memory: Memory) -> None:
    path = f"{memory.chat.project_path}/agents/{memory.agent_id}"
    await answer(memory.http.patch(path, json={"config": {"memory": {"top_k": 0}}}))
    await memory.add("The capital of France is Paris.")
    async with memory.chat.stream("What is the capital of France?") as stream:
        event = await stream.until("context_retrieved")
        await stream.until("agent_completed")
    assert event["payload"]["memories"] == []
    assert (await memory.page())["total"] == 2


async def test_what_the_agent_answers_by_shows_in_the_event_cut_to_what_one_reads(memory: Memory) -> None:
    await memory.add("France. " + "x" * 5_000, metadata={"secret": "stays in the memory"})
    async with memory.chat.stream("France.") as stream:
        event = await stream.until("context_retrieved")
    [recalled] = event["payload"]["memories"]
    assert len(recalled["content"]) == 1_001
    assert recalled["content"].endswith("…")
    assert recalled["metadata"] == {}
    assert recalled["score"] > 0
