"""`codelab chat`, as it is typed: once, piped, at its prompt, interrupted, and across a crash of the suite."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.cutting import cutting
from tests.e2e.chatting import at_terminal, chat
from tests.e2e.client import Api, answer, signed_in
from tests.e2e.conftest import settings
from tests.e2e.events import Event
from tests.e2e.polling import eventually
from tests.e2e.ports import free_ports
from tests.e2e.suite import Layout, Result, Suite, running
from tests.e2e.terminal import PROMPT
from tests.fakes.openai_script import DEFAULT_ANSWER, Script
from tests.fakes.openai_server import FakeModel
from tests.fakes.qdrant_description import Description
from tests.fakes.qdrant_server import FakeQdrant


@pytest_asyncio.fixture(scope="module")
async def chatting(model: FakeModel, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Suite]:
    folder = tmp_path_factory.mktemp("chatting")
    async with running(Layout.ONE, folder, **settings(Layout.ONE, model)) as suite:
        yield suite


@pytest_asyncio.fixture
async def ann(chatting: Suite) -> AsyncIterator[tuple[Api, str]]:
    """A user of her own, and her token."""
    token = await chatting.token(str(uuid.uuid4()))
    async with signed_in(chatting.url, token) as api:
        yield api, token


def refusal(result: Result) -> str:
    """The one line of a command that could not do it."""
    assert (result.code, result.stdout) == (1, ""), result.output
    [line] = result.stderr.splitlines()
    assert line.startswith("codelab: ")
    return line


async def test_message_is_answered_with_the_bare_answer(chatting: Suite) -> None:
    assert await chat(chatting, "Hello.") == Result(0, f"{DEFAULT_ANSWER}\n", "")
    assert await chat(chatting, "Hello", "in", "words.") == Result(0, f"{DEFAULT_ANSWER}\n", "")


async def test_piped_text_is_the_message(chatting: Suite, model: FakeModel) -> None:
    text = f"Look at this:\n\n  {uuid.uuid4()}\n"
    assert await chat(chatting, stdin=text) == Result(0, f"{DEFAULT_ANSWER}\n", "")
    [exchange] = model.exchanges(text.strip())
    assert exchange.outcome == "answered"
    assert "nothing to send" in refusal(await chat(chatting, stdin=" \n"))


async def test_first_chats_that_start_at_once_share_one_project_and_no_session(
    chatting: Suite, ann: tuple[Api, str]
) -> None:
    api, token = ann
    results = await asyncio.gather(*(chat(chatting, f"Hello {number}.", CODELAB_TOKEN=token) for number in range(3)))
    assert [result.code for result in results] == [0, 0, 0], results
    [project] = (await answer(api.http.get("/my/projects")))["projects"]
    assert project["name"] == "Chat"
    sessions = (await answer(api.http.get(f"/my/projects/{project['id']}/chat/sessions")))["sessions"]
    assert {session["title"] for session in sessions} == {"Hello 0.", "Hello 1.", "Hello 2."}


async def test_project_that_was_deleted_is_made_again(chatting: Suite, ann: tuple[Api, str]) -> None:
    api, token = ann
    for _ in range(2):
        assert (await chat(chatting, "Hello.", CODELAB_TOKEN=token)).code == 0
        [project] = (await answer(api.http.get("/my/projects")))["projects"]
        assert (await api.http.delete(f"/my/projects/{project['id']}")).status_code == 204


async def test_project_agent_and_session_are_chosen_by_name_or_id(
    chatting: Suite, ann: tuple[Api, str], model: FakeModel
) -> None:
    api, token = ann
    lab = await api.new_chat()
    marker = str(uuid.uuid4())
    chosen = ["--project", "Lab", "--agent", "dataanalyst", "--session", lab.session_id]
    assert (await chat(chatting, *chosen, marker, CODELAB_TOKEN=token)).code == 0
    assert [message["content"] for message in await lab.messages()] == [marker, DEFAULT_ANSWER]
    assert "You are DataAnalyst" in model.exchanges(marker)[0].body["messages"][0]["content"]
    assert (await chat(chatting, "--project", lab.project_id, "Hello.", CODELAB_TOKEN=token)).code == 0


async def test_what_is_not_there_is_refused_with_what_is(chatting: Suite, ann: tuple[Api, str]) -> None:
    api, token = ann
    await api.new_project("Lab")
    said = refusal(await chat(chatting, "--project", "Lap", "Hello.", CODELAB_TOKEN=token))
    assert "Lap" in said
    assert "Lab" in said
    said = refusal(await chat(chatting, "--project", "Lab", "--agent", "Nobody", "Hello.", CODELAB_TOKEN=token))
    assert "CodeAssistant, DataAnalyst, DocumentWriter" in said
    nowhere = str(uuid.uuid4())
    assert nowhere in refusal(await chat(chatting, "--session", nowhere, "Hello.", CODELAB_TOKEN=token))
    assert "CODELAB_TOKEN" in refusal(await chat(chatting, "Hello.", CODELAB_TOKEN="nonsense"))


async def test_no_suite_is_one_line_that_says_how_to_start_one(chatting: Suite) -> None:
    line = refusal(await chat(chatting, "Hello.", CODELAB_GRPC_PORT_BASE=str(free_ports(4))))
    assert "codelab up" in line
    assert "make up" in line


async def test_failure_is_one_line_with_its_reason(chatting: Suite) -> None:
    line = refusal(await chat(chatting, f"Hello. {Script(status=401).directive()}"))
    assert "refused the credentials" in line
    assert "MODEL_REFUSED" in line


async def test_answer_is_seen_while_it_is_written(chatting: Suite, model: FakeModel) -> None:
    gate = str(uuid.uuid4())
    script = Script(answer="One two three four.", chunks=4, after_chunks=2, gate=gate)
    async with at_terminal(chatting, f"Count. {script.directive()}") as screen:
        await screen.until("One two")
        assert "three" not in screen.seen
        model.open_gate(gate)
        await screen.until("three four.\n")
        assert await screen.ended() == 0


async def test_prompt_takes_messages_of_several_lines_and_leaves_on_ctrl_d(
    chatting: Suite, ann: tuple[Api, str], model: FakeModel
) -> None:
    _, token = ann
    marker = str(uuid.uuid4())
    async with at_terminal(chatting, CODELAB_TOKEN=token) as screen:
        assert "CodeAssistant" in await screen.until(PROMPT)
        assert DEFAULT_ANSWER in await screen.enter("Hello.")
        screen.type("First \\\r")
        await screen.until("… ")
        assert DEFAULT_ANSWER in await screen.enter(marker)
        assert DEFAULT_ANSWER in await screen.enter(f"//{marker} begins with a slash")
        screen.type("not sent\x03")
        await screen.until(PROMPT)
        screen.type("\x04")
        assert await screen.ended() == 0
    [several, slash] = model.exchanges(marker)
    assert several.user_text == f"First \n{marker}"
    assert slash.user_text == f"/{marker} begins with a slash"
    assert [message["role"] for message in several.body["messages"]] == ["system", "user", "assistant", "user"]
    assert model.exchanges("not sent") == []


async def test_commands_show_and_change_whom_one_talks_to_and_where(chatting: Suite, ann: tuple[Api, str]) -> None:
    api, token = ann
    async with at_terminal(chatting, CODELAB_TOKEN=token) as screen:
        await screen.until(PROMPT)
        assert "nothing was said yet" in await screen.enter("/history")
        assert "there is no session yet" in await screen.enter("/sessions")
        assert "* CodeAssistant" in await screen.enter("/agents")
        assert "there is no agent Nobody" in await screen.enter("/agent Nobody")
        assert "say which" in await screen.enter("/agent")
        assert "you talk to DataAnalyst" in await screen.enter("/agent dataanalyst")
        assert "* DataAnalyst" in await screen.enter("/agents")
        assert DEFAULT_ANSWER in await screen.enter("The older one.")
        await screen.enter("/new")
        assert DEFAULT_ANSWER in await screen.enter("The newer one.")
        listed = await screen.enter("/sessions")
        assert listed.index("The newer one.") < listed.index("The older one.")
        assert "*  1  The newer one." in listed
        went = await screen.enter("/session 2")
        assert "you\nThe older one.\nDataAnalyst\n" in went
        assert "*  2  The older one." in await screen.enter("/sessions")
        [newer, older] = (await answer(api.http.get(f"{await _chat_path(api)}/sessions")))["sessions"]
        assert "The newer one." in await screen.enter(f"/session {newer['id'][:8]}")
        assert "The older one." in await screen.enter(f"/session {older['id']}")
        assert "there is no session 9" in await screen.enter("/session 9")
        assert "does not exist" in await screen.enter(f"/session {uuid.uuid4()}")
        assert DEFAULT_ANSWER in await screen.enter("/history")
        assert "there is no /nonsense" in await screen.enter("/nonsense")
        shown = await screen.enter("/help")
        assert all(f"/{name}" in shown for name in ("agents", "new", "sessions", "memory", "forget", "quit"))
        screen.type("/quit\r")
        assert await screen.ended() == 0
    messages = await answer(api.http.get(f"{await _chat_path(api)}/sessions/{older['id']}/messages"))
    assert messages["total"] == 2


async def _chat_path(api: Api) -> str:
    [project] = (await answer(api.http.get("/my/projects")))["projects"]
    return f"/my/projects/{project['id']}/chat"


async def test_agent_is_told_what_to_remember_and_to_forget(chatting: Suite, ann: tuple[Api, str]) -> None:
    api, token = ann
    async with at_terminal(chatting, CODELAB_TOKEN=token) as screen:
        await screen.until(PROMPT)
        assert "remembers nothing" in await screen.enter("/memory")
        assert "will remember" in await screen.enter("/remember The staging database listens on port 6543")
        assert "will remember" in await screen.enter("/remember We deploy on Fridays")
        listed = await screen.enter("/memory")
        assert "1  We deploy on Fridays" in listed
        assert "2  The staging database" in listed
        found = await screen.enter("/memory database port")
        assert "1  The staging database listens on port 6543  (1.00)" in found
        assert "forgotten" in await screen.enter("/forget 1")
        assert "has no memory" in await screen.enter("/forget 1")
        assert "there is no memory 9" in await screen.enter("/forget 9")
        [kept] = await memories_of(api)
        assert kept["content"] == "We deploy on Fridays"
        assert "forgotten" in await screen.enter(f"/forget {kept['id']}")
        assert "say which" in await screen.enter("/remember")
        assert await memories_of(api) == []
        screen.type("\x04")
        assert await screen.ended() == 0


async def memories_of(api: Api, name: str = "CodeAssistant") -> list[Event]:
    """What the agent of the user's one project remembers."""
    [project] = (await answer(api.http.get("/my/projects")))["projects"]
    agents = (await answer(api.http.get(f"/my/projects/{project['id']}/agents")))["agents"]
    [agent] = [each for each in agents if each["name"] == name]
    page = await answer(api.http.get(f"/my/projects/{project['id']}/agents/{agent['id']}/memory"))
    memories: list[Event] = page["memories"]
    return memories


async def test_what_was_told_in_one_chat_is_shown_to_be_remembered_in_another(
    chatting: Suite, ann: tuple[Api, str], model: FakeModel
) -> None:
    _, token = ann
    fact = f"The key of archive {uuid.uuid4().hex} lies under the third flowerpot."
    assert (await chat(chatting, fact, CODELAB_TOKEN=token)).code == 0
    question = f"{uuid.uuid4()}: what lies under the flowerpot of the archive?"
    async with at_terminal(chatting, question, CODELAB_TOKEN=token) as screen:
        shown = await screen.until("\n")
        assert f'↺ remembers: "{fact}' in shown
        assert re.search(r"\(0\.\d\d\)\n$", shown)
        await screen.until(f"{DEFAULT_ANSWER}\n")
        assert await screen.ended() == 0
    [exchange] = model.exchanges(question)
    assert fact in exchange.body["messages"][0]["content"]
    # Nothing but the answer where it is to be read by programs.
    assert await chat(chatting, question, CODELAB_TOKEN=token) == Result(0, f"{DEFAULT_ANSWER}\n", "")


@pytest.mark.server_backed
async def test_memory_that_is_out_of_reach_is_said_to_be_and_the_answer_comes(
    folder: Path, model: FakeModel, qdrant_description: Description
) -> None:
    with FakeQdrant(qdrant_description) as qdrant:
        given = {**settings(Layout.ONE, model), "QDRANT_URL": qdrant.url}
        async with running(Layout.ONE, folder, **given) as suite:
            assert (await chat(suite, "Tea is served at four.")).code == 0
            async with at_terminal(suite, "When is tea served?") as screen:
                assert '↺ remembers: "Tea is served at four.' in await screen.until(DEFAULT_ANSWER)
                assert await screen.ended() == 0
            qdrant.stop()
            async with at_terminal(suite, "And when is coffee?") as screen:
                shown = await screen.until(DEFAULT_ANSWER)
                assert "  memory is out of reach: answering without it\n" in shown
                assert await screen.ended() == 0


async def test_ctrl_c_stops_the_answer_down_to_the_model_and_nothing_else(chatting: Suite, model: FakeModel) -> None:
    marker = str(uuid.uuid4())
    script = Script(answer="Half and half.", chunks=4, after_chunks=2, gate=f"never {marker}")
    async with at_terminal(chatting) as screen:
        await screen.until(PROMPT)
        screen.type(f"{marker} {script.directive()}\r")
        await screen.until("\nHalf an")
        screen.type("\x03")
        assert "cancelled" in await screen.until(PROMPT)
        await eventually(lambda: [each.outcome for each in model.exchanges(marker)] == ["closed_by_client"])
        assert DEFAULT_ANSWER in await screen.enter("And now?")
        screen.type("\x04")
        assert await screen.ended() == 0


async def test_ctrl_c_on_a_single_message_ends_it_as_a_shell_expects(chatting: Suite, model: FakeModel) -> None:
    marker = str(uuid.uuid4())
    async with at_terminal(chatting, f"{marker} {Script(gate=f'never {marker}').directive()}") as screen:
        await eventually(lambda: model.open_now(marker))
        screen.type("\x03")
        assert await screen.ended() == 130
    await eventually(lambda: model.exchanges(marker)[0].outcome == "closed_by_client")


async def test_suite_that_is_gone_is_said_to_be_and_the_prompt_goes_on(model: FakeModel, folder: Path) -> None:
    async with running(Layout.ONE, folder, **settings(Layout.ONE, model)) as suite, at_terminal(suite) as screen:
        await screen.until(PROMPT)
        assert DEFAULT_ANSWER in await screen.enter("Hello.")
        await suite.kill()
        assert "cannot be reached" in await screen.enter("/sessions")
        screen.type("Are you there?\r")
        await screen.until("there?\n")
        await suite.start()
        assert DEFAULT_ANSWER in await screen.until(PROMPT)
        screen.type("\x04")
        assert await screen.ended() == 0


async def test_who_presses_ctrl_c_twice_does_not_wait(chatting: Suite, model: FakeModel) -> None:
    marker = str(uuid.uuid4())
    async with at_terminal(chatting) as screen:
        await screen.until(PROMPT)
        screen.type(f"{marker} {Script(gate=f'never {marker}').directive()}\r")
        await eventually(lambda: model.open_now(marker))
        screen.type("\x03\x03")
        await screen.until(PROMPT)
        assert DEFAULT_ANSWER in await screen.enter("And now?")
        screen.type("\x04")
        assert await screen.ended() == 0


async def test_who_waits_for_a_busy_agent_is_told_how_many_are_ahead(
    chatting: Suite, ann: tuple[Api, str], model: FakeModel
) -> None:
    api, token = ann
    lab = await api.new_chat()
    agents = (await answer(api.http.get(f"{lab.project_path}/agents")))["agents"]
    [busy] = [each for each in agents if each["name"] == "CodeAssistant"]
    await answer(api.http.patch(f"{lab.project_path}/agents/{busy['id']}", json={"config": {"concurrency_limit": 1}}))
    gate = str(uuid.uuid4())
    await lab.start(f"Hold. {Script(gate=gate).directive()}")
    await eventually(lambda: model.open_now(gate))
    async with at_terminal(chatting, "--project", "Lab", "Hello.", CODELAB_TOKEN=token) as screen:
        await screen.until("waiting: the agent is busy")
        model.open_gate(gate)
        await screen.until(DEFAULT_ANSWER)
        assert await screen.ended() == 0


async def test_suite_that_crashes_in_mid_answer_is_waited_for(model: FakeModel, folder: Path) -> None:
    marker = str(uuid.uuid4())
    script = Script(answer="This answer survives the crash.", chunks=4, after_chunks=2, gate=marker)
    async with running(Layout.ONE, folder, **settings(Layout.ONE, model)) as suite:
        async with at_terminal(suite, f"{marker} {script.directive()}") as screen:
            await screen.until("This answer")
            await suite.kill()
            await suite.start()
            await eventually(lambda: len(model.exchanges(marker)) == 2)
            model.open_gate(marker)
            await screen.until("crash.\n")
            assert "This answer survives the crash.\n" in screen.seen
            assert await screen.ended() == 0
        piped = await chat(suite, "Hello.")
    assert piped == Result(0, f"{DEFAULT_ANSWER}\n", "")


async def test_answer_that_was_finished_while_all_its_events_were_lost_is_shown_whole(
    model: FakeModel, folder: Path
) -> None:
    marker = str(uuid.uuid4())
    script = Script(answer="Half of it 𝄞, and the other half.", chunks=4, after_chunks=2, gate=marker)
    given = {**settings(Layout.ONE, model), "CODELAB_CONNECTION_SECONDS": "1"}
    async with (
        running(Layout.ONE, folder, **given) as suite,
        signed_in(suite.url, token := await suite.token(str(uuid.uuid4()))) as api,
        cutting(suite.grpc_address("streams")) as network,
    ):
        lab = await api.new_chat()
        backends = [suite.grpc_address(each) for each in ("projects", "agents", "orchestrator")]
        environment = {"CODELAB_BACKENDS": ",".join([*backends, network.address]), "CODELAB_TOKEN": token}
        message = ("--project", "Lab", "--session", lab.session_id, f"{marker} {script.directive()}")
        async with at_terminal(suite, *message, **environment) as screen:
            await screen.until("Half of it")
            # Back after a cut, and then after its connection grew old, it goes on with what it has.
            network.cut()
            await eventually(lambda: network.connections > 2)
            network.away = True
            network.cut()
            model.open_gate(marker)
            [run] = (await answer(api.http.get(f"{lab.project_path}/runs")))["runs"]
            await lab.run_after(run["id"], "succeeded")
            await lab.recorded(run["id"])
            # What numbers events begins anew, and knows nothing of this run.
            await suite.kill()
            await suite.start()
            network.away = False
            await screen.until("half.\n")
            assert "Half of it 𝄞, and the other half.\n" in screen.seen
            assert await screen.ended() == 0
