"""One real message through the whole suite: on five separate processes, and again on one."""

import asyncio
import time
import uuid

import httpx
import pytest

from tests.e2e.client import AGENT, Api, Chat, answer, problem
from tests.e2e.events import Format, StreamBroken, Watch
from tests.e2e.polling import eventually
from tests.e2e.suite import Suite
from tests.fakes.openai_script import DEFAULT_ANSWER, Script
from tests.fakes.openai_server import FakeModel

POEM = '𝄞 Zwölf Boxkämpfer, cafe\u0301, 👩‍👩‍👧 jagen\u2028中文? "Nein".\r\n' * 12
POEM_SCRIPT = Script(answer=POEM, chunks=40, token_seconds=0.01)
# Streams until somebody stops it.
ENDLESS = Script(answer="tick " * 400, chunks=400, token_seconds=0.1)
DIRECT_EVENTS = ["message_received", "agent_started", "agent_completed"]


def saying(text: str, script: Script) -> str:
    return f"{text} {script.directive()}"


def reciting(chat: Chat) -> str:
    """Ask for the poem; its middle waits for the gate named like the session."""
    script = Script(answer=POEM, chunks=40, token_seconds=0.005, after_chunks=20, gate=chat.session_id)
    return saying(f"Recite, {chat.session_id}.", script)


async def answered(chat: Chat, text: str = "And now?") -> None:
    """The session takes the next message."""
    message = await answer(chat.send(text))
    assert (message["role"], message["content"]) == ("assistant", DEFAULT_ANSWER)


async def cut_after(chat: Chat, content: str, deltas: int, accept: Format, **fields: str) -> Watch:
    """Stream a message and drop the connection in the middle of the answer."""
    watch = Watch()
    async with chat.stream(content, accept=accept, watch=watch, **fields) as stream:
        await stream.until("message_delta", count=deltas)
    return watch


# -- one message --------------------------------------------------------------------------------------------------


async def test_sent_message_is_answered_and_both_are_kept(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    text = f"Hello, {chat.session_id}."
    reply = await answer(chat.send(text))
    messages = await chat.messages()
    assert [(each["role"], each["content"]) for each in messages] == [("user", text), ("assistant", DEFAULT_ANSWER)]
    assert messages[1] == reply
    assert reply["run_id"] == messages[0]["run_id"]
    assert reply["agent_id"] is not None
    session = await answer(ann.http.get(chat.session_path))
    assert session["message_count"] == 2
    [asked] = model.exchanges(chat.session_id)
    assert asked.headers["authorization"] == "Bearer sk-test"
    assert asked.body["model"] == "fake-model"
    assert asked.body["messages"][0]["role"] == "system"


async def test_next_message_carries_the_history_of_the_session(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    await answer(chat.send("My name is Ann."))
    await answer(chat.send(f"What is my name, {chat.session_id}?"))
    [asked] = model.exchanges(chat.session_id)
    spoken = [(each["role"], each["content"]) for each in asked.body["messages"] if each["role"] != "system"]
    assert spoken[:2] == [("user", "My name is Ann."), ("assistant", DEFAULT_ANSWER)]


@pytest.mark.parametrize("accept", Format)
async def test_streamed_message_rebuilds_the_stored_answer(ann: Api, accept: Format) -> None:
    chat = await ann.new_chat()
    async with chat.stream(saying("Recite.", POEM_SCRIPT), accept=accept) as stream:
        first = await stream.read()
        assert first is not None
        assert first.id, "the first block is the cursor"
        watch = await stream.to_end()
    stored = (await chat.messages())[-1]
    assert stored["content"] == POEM
    assert watch.answers.texts == {stored["id"]: POEM}
    assert watch.types(progress=False) == DIRECT_EVENTS
    assert watch.final()["payload"]["message"] == stored
    assert watch.ended == {"reason": "run_finished", "resumable": False}
    assert len(watch.of_type("message_delta")) > 3, "the answer came at once instead of as it was written"


@pytest.mark.parametrize("accept", Format)
async def test_stream_cut_in_mid_answer_resumes_after_last_event_id(ann: Api, model: FakeModel, accept: Format) -> None:
    chat = await ann.new_chat()
    watch = await cut_after(chat, reciting(chat), 2, accept)
    run_id = watch.events[0]["run_id"]
    assert watch.last_id is not None
    # Cut once more, then to the end.
    async with chat.watch(accept=accept, watch=watch, run_id=run_id) as stream:
        await stream.until("message_snapshot")
    async with chat.watch(accept=accept, watch=watch, run_id=run_id) as stream:
        await stream.until("message_snapshot")
        model.open_gate(chat.session_id)
        await stream.until("message_delta")
        await stream.to_end()
    stored = (await chat.messages())[-1]
    assert watch.answers.texts == {stored["id"]: POEM}
    assert stored["content"] == POEM
    assert watch.types(progress=False) == DIRECT_EVENTS
    assert watch.final()["payload"]["message"] == stored


async def test_stream_cut_in_mid_answer_is_joined_again_by_its_request_id(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    content, request_id = reciting(chat), str(uuid.uuid4())
    watch = await cut_after(chat, content, 2, Format.SSE, request_id=request_id)
    async with chat.stream(content, watch=watch, request_id=request_id) as stream:
        await stream.until("message_snapshot")
        model.open_gate(chat.session_id)
        await stream.to_end()
    stored = (await chat.messages())[-1]
    assert watch.answers.texts == {stored["id"]: stored["content"]}
    assert watch.types(progress=False) == DIRECT_EVENTS
    assert len(model.exchanges(chat.session_id)) == 1


async def test_who_comes_late_reads_the_whole_run_from_the_buffer(ann: Api) -> None:
    chat = await ann.new_chat()
    run = await chat.start("Hello.")
    await chat.run_after(run["id"], "succeeded")
    async with chat.watch(after="start", run_id=run["id"]) as stream:
        watch = await stream.to_end()
    assert watch.types(progress=False) == DIRECT_EVENTS
    assert watch.ended["reason"] == "run_finished"


async def test_watcher_of_a_session_sees_every_run_and_heartbeats_between_them(ann: Api) -> None:
    chat = await ann.new_chat()
    async with chat.watch() as stream:
        for _ in range(2):
            await answered(chat)
            await stream.until("agent_completed")
        while (frame := await stream.read()) is not None and frame.comment is None:
            pass
        assert frame is not None, "the stream ended instead of sending a heartbeat"
    assert stream.watch.types(progress=False) == DIRECT_EVENTS * 2


async def test_created_run_is_followed_to_its_end_and_leaves_a_timeline(ann: Api) -> None:
    chat = await ann.new_chat()
    run = await chat.start("Hello.")
    assert run["mode"] == "direct"
    assert run["session_id"] == chat.session_id
    done = await chat.run_after(run["id"])
    assert done["state"] == "succeeded"
    assert done["error"] is None
    [task] = done["plan"]["tasks"]
    assert (task["state"], task["output"], task["agent_name"]) == ("succeeded", DEFAULT_ANSWER, AGENT)
    assert done["usage"]["model_calls"] == 1
    assert done["usage"]["completion_tokens"] == len(DEFAULT_ANSWER.split())
    assert done["message_id"] == (await chat.messages())[-1]["id"]
    timeline = await chat.timeline(run["id"])
    assert [event["type"] for event in timeline] == DIRECT_EVENTS
    assert [event["final"] for event in timeline] == [False, False, True]
    listed = await answer(ann.http.get(f"{chat.project_path}/runs", params={"state": ["succeeded"]}))
    assert [each["id"] for each in listed["runs"]] == [run["id"]]


async def test_run_says_after_which_event_to_watch_without_missing_any(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    run = await chat.start(reciting(chat))
    seen = await chat.run_after(run["id"], "running")
    watch = Watch(last_id=seen["last_event_id"])
    async with chat.watch(watch=watch, run_id=run["id"]) as stream:
        model.open_gate(chat.session_id)
        await stream.to_end()
    assert list(watch.answers.texts.values()) == [POEM]
    assert watch.final()["type"] == "agent_completed"


async def test_fifty_messages_at_once_are_each_answered_with_their_own_words(ann: Api) -> None:
    chats = await asyncio.gather(*(ann.new_chat() for _ in range(50)))

    async def echo(chat: Chat) -> tuple[str, str]:
        script = Script(answer=f"You are in {chat.session_id}.", first_token_seconds=0.1)
        return chat.session_id, (await answer(chat.send(saying("Where am I?", script))))["content"]

    for session_id, text in await asyncio.gather(*map(echo, chats)):
        assert text == f"You are in {session_id}."


async def test_unknown_agent_is_not_found_and_leaves_nothing(ann: Api) -> None:
    chat = await ann.new_chat()
    for target in ("Nobody", str(uuid.uuid4())):
        problem(await chat.send("Hello.", target_agent=target), 404, "AGENT_NOT_FOUND")
    assert await chat.messages() == []


# -- sending twice, and while busy --------------------------------------------------------------------------------


async def test_same_request_id_joins_the_first_run_in_every_way_of_sending(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    content, request_id = reciting(chat), str(uuid.uuid4())
    run = await chat.start(content, request_id=request_id)

    async def stream() -> Watch:
        async with chat.stream(content, request_id=request_id) as opened:
            await opened.until("message_snapshot", "message_delta")
            model.open_gate(chat.session_id)
            return await opened.to_end()

    sent, watch, again = await asyncio.gather(
        answer(chat.send(content, request_id=request_id)), stream(), chat.start(content, request_id=request_id)
    )
    assert again["id"] == sent["run_id"] == run["id"]
    assert watch.final()["payload"]["message"] == sent
    assert await answer(chat.send(content, request_id=request_id)) == sent
    assert len(await chat.messages()) == 2
    assert len(model.exchanges(chat.session_id)) == 1


async def test_request_id_with_other_content_is_refused(ann: Api) -> None:
    chat = await ann.new_chat()
    await answer(chat.send("One.", request_id="same"))
    problem(await chat.send("Two.", request_id="same"), 409, "REQUEST_ID_REUSED")
    assert len(await chat.messages()) == 2


async def test_message_to_a_busy_session_waits_for_its_turn(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    first = await chat.start(reciting(chat))
    second = await chat.start("And then?")
    assert second["state"] == "queued"
    model.open_gate(chat.session_id)
    done = await chat.run_after(second["id"])
    assert done["state"] == "succeeded"
    assert (await chat.run(first["id"]))["finished_at"] <= done["started_at"]
    assert [each["run_id"] for each in await chat.messages()] == [first["id"]] * 2 + [second["id"]] * 2


async def test_message_that_will_not_wait_is_refused_and_leaves_nothing(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    run = await chat.start(reciting(chat))
    problem(await chat.send("Me too!", on_busy="reject"), 409, "SESSION_BUSY")
    model.open_gate(chat.session_id)
    await chat.run_after(run["id"], "succeeded")
    assert [each["run_id"] for each in await chat.messages()] == [run["id"]] * 2


async def test_message_that_replaces_cancels_the_active_and_the_waiting(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    active = await chat.start(saying(f"Tick, {chat.session_id}.", ENDLESS))
    waiting = await chat.start("I wait.")
    await eventually(lambda: model.open_now(chat.session_id))
    async with chat.watch(after="start", run_id=active["id"]) as stream:
        reply = await answer(chat.send("Never mind.", on_busy="replace"))
        watch = await stream.to_end()
    assert reply["content"] == DEFAULT_ANSWER
    assert watch.final()["type"] == "run_cancelled"
    assert watch.final()["payload"] == {"reason": "replaced"}
    assert [(await chat.run(run["id"]))["state"] for run in (active, waiting)] == ["cancelled", "cancelled"]
    await eventually(lambda: not model.open_now(chat.session_id))


async def test_of_messages_that_replace_each_other_at_once_one_is_answered_and_the_rest_told(
    ann: Api, model: FakeModel
) -> None:
    chat = await ann.new_chat()
    # Nobody is answered before all have come.
    held = Script(gate=chat.session_id)

    async def all_but_one_are_replaced() -> bool:
        runs = (await answer(ann.http.get(f"{chat.project_path}/runs", params={"session_id": chat.session_id})))["runs"]
        return [run["state"] for run in runs].count("cancelled") == 19

    async with asyncio.timeout(60), asyncio.TaskGroup() as sending:
        sent = [
            sending.create_task(chat.send(saying(f"No, {number}!", held), on_busy="replace")) for number in range(20)
        ]
        await eventually(all_but_one_are_replaced)
        model.open_gate(chat.session_id)
    responses = [each.result() for each in sent]
    answers = [response.json() for response in responses if response.status_code == 200]
    for response in responses:
        if response.status_code != 200:
            problem(response, 409, "RUN_CANCELLED")
    runs = (await answer(ann.http.get(f"{chat.project_path}/runs", params={"session_id": chat.session_id})))["runs"]
    assert len(runs) == 20
    assert sorted(run["id"] for run in runs if run["state"] == "succeeded") == sorted(run["run_id"] for run in answers)
    # Which one is the last to come is for the session to say, but that one is not replaced.
    assert len(answers) == 1
    for run in runs:
        assert [event["final"] for event in await chat.timeline(run["id"])].count(True) == 1


# -- who may see what ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer not.a.token", "Basic YWRtaW46YWRtaW4="])
async def test_call_without_a_good_token_is_unauthenticated(suite: Suite, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    async with httpx.AsyncClient(base_url=suite.url, headers=headers, timeout=30) as nobody:
        for path in ("/my", "/my/projects", f"/my/projects/{uuid.uuid4()}"):
            response = await nobody.get(path)
            assert response.status_code == 401, response.text
            assert "WWW-Authenticate" in response.headers


async def test_user_lists_only_their_own_projects(ann: Api, bob: Api) -> None:
    mine = await ann.new_project("Ann's")
    theirs = await bob.new_project("Bob's")
    for api, own, foreign in ((ann, mine, theirs), (bob, theirs, mine)):
        ids = {each["id"] for each in (await answer(api.http.get("/my/projects?page_size=200")))["projects"]}
        assert own["id"] in ids
        assert foreign["id"] not in ids


# -- what goes wrong ----------------------------------------------------------------------------------------------


FAILING: dict[str, tuple[Script, int, str]] = {
    "always busy": (Script(status=429), 503, "MODEL_UNAVAILABLE"),
    "always failing": (Script(status=500), 503, "MODEL_UNAVAILABLE"),
    "resets the connection": (Script(fault="reset", after_chunks=0), 503, "MODEL_UNAVAILABLE"),
    "never answers": (Script(fault="hang"), 504, "MODEL_TIMEOUT"),
    "stalls": (Script(fault="stall"), 504, "MODEL_TIMEOUT"),
    "breaks off": (Script(fault="reset"), 500, "RUN_FAILED"),
    "ends early": (Script(fault="cut"), 500, "RUN_FAILED"),
    "error in mid-answer": (Script(fault="error_chunk"), 500, "RUN_FAILED"),
    "garbage body": (Script(fault="garbage_body"), 500, "RUN_FAILED"),
    "garbage event": (Script(fault="garbage_sse"), 500, "RUN_FAILED"),
    "no choices": (Script(fault="empty_choices"), 500, "RUN_FAILED"),
    "blank answer": (Script(answer=" \n" * 20), 500, "RUN_FAILED"),
    "refuses the request": (Script(status=400), 500, "RUN_FAILED"),
    "refuses the key": (Script(status=401), 500, "RUN_FAILED"),
}


async def test_run_whose_model_fails_is_failed_with_its_reason_and_the_session_goes_on(ann: Api) -> None:
    project = await ann.new_project()

    async def one(name: str) -> None:
        try:
            await fails_and_goes_on(await ann.new_chat(project["id"]), *FAILING[name])
        except BaseException as error:
            error.add_note(f"model: {name}")
            raise

    # All at once: most of them only wait.
    async with asyncio.TaskGroup() as group:
        for name in FAILING:
            group.create_task(one(name))


async def fails_and_goes_on(chat: Chat, script: Script, status: int, reason: str) -> None:
    content = saying("Hello.", script)
    async with chat.watch(after="start") as stream:
        failed = problem(await chat.send(content), status, reason)
        await stream.until("run_failed")
    run = await chat.run(failed["metadata"]["run_id"])
    assert run["state"] == "failed"
    assert run["error"]["reason"].startswith("MODEL_")
    assert run["error"]["detail"]
    assert "Traceback" not in failed["detail"]
    watch = stream.watch
    assert watch.types(progress=False) == ["message_received", "agent_started", "agent_failed", "run_failed"]
    assert watch.final()["payload"]["error"] == run["error"]
    assert [(each["role"], each["content"]) for each in await chat.messages()] == [("user", content)]
    await answered(chat)


async def test_model_that_is_down_fails_the_run_and_is_asked_again_once_it_is_back(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    model.stop()
    try:
        problem(await chat.send("Anybody there?"), 503, "MODEL_UNAVAILABLE")
    finally:
        model.start()
    assert [each["role"] for each in await chat.messages()] == ["user"]
    await answered(chat)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_refusal_that_passes_is_retried_before_the_first_token(ann: Api, model: FakeModel, status: int) -> None:
    chat = await ann.new_chat()
    script = Script(status=status, times=1, key=chat.session_id, retry_after=0.1)
    assert (await answer(chat.send(saying(f"{chat.session_id}?", script))))["content"] == DEFAULT_ANSWER
    await eventually(lambda: not model.open_now(chat.session_id))
    assert [each.outcome for each in model.exchanges(chat.session_id)] == ["refused", "answered"]


async def test_cancel_closes_the_models_request(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    async with chat.stream(saying(f"Tick, {chat.session_id}.", ENDLESS)) as stream:
        delta = await stream.until("message_delta")
        assert len(model.open_now(chat.session_id)) == 1
        run = await answer(chat.cancel(delta["run_id"]))
        assert run["state"] == "cancelled"
        await eventually(lambda: not model.open_now(chat.session_id), within=10)
        watch = await stream.to_end()
    assert [each.outcome for each in model.exchanges(chat.session_id)] == ["closed_by_client"]
    assert watch.final()["type"] == "run_cancelled"
    assert watch.final()["payload"] == {"reason": "cancelled"}
    assert (await answer(chat.cancel(run["id"])))["finished_at"] == run["finished_at"], "cancelled twice"
    await answered(chat)


async def test_waiting_sender_of_a_cancelled_run_is_told_so(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(chat.send(saying(f"Tick, {chat.session_id}.", ENDLESS)))
        await eventually(lambda: model.open_now(chat.session_id))
        [run] = (await answer(ann.http.get(f"{chat.project_path}/runs")))["runs"]
        await answer(chat.cancel(run["id"]))
    told = problem(sending.result(), 409, "RUN_CANCELLED")
    assert told["metadata"]["run_id"] == run["id"]


async def test_finished_run_cannot_be_cancelled(ann: Api) -> None:
    chat = await ann.new_chat()
    reply = await answer(chat.send("Hello."))
    problem(await chat.cancel(reply["run_id"]), 409, "RUN_FINISHED")


async def test_client_that_goes_away_does_not_stop_its_run(ann: Api, model: FakeModel) -> None:
    streaming, waiting = await asyncio.gather(ann.new_chat(), ann.new_chat())
    watch = await cut_after(streaming, reciting(streaming), 2, Format.SSE)
    sending = asyncio.create_task(waiting.send(reciting(waiting)))
    await eventually(lambda: model.open_now(waiting.session_id))
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    for chat in (streaming, waiting):
        model.open_gate(chat.session_id)
    done = await streaming.run_after(watch.events[0]["run_id"])
    [abandoned] = (await answer(ann.http.get(f"{waiting.project_path}/runs")))["runs"]
    assert (await waiting.run_after(abandoned["id"]))["state"] == done["state"] == "succeeded"
    for chat in (streaming, waiting):
        assert (await chat.messages())[-1]["content"] == POEM


# -- what ends ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["session", "project"])
async def test_deleting_ends_streams_and_the_models_request(ann: Api, model: FakeModel, what: str) -> None:
    chat = await ann.new_chat()
    path = chat.session_path if what == "session" else chat.project_path
    async with chat.watch(after="start") as stream:
        await chat.start(saying(f"Tick, {chat.session_id}.", ENDLESS))
        await stream.until("message_delta")
        deleted = await ann.http.delete(path)
        assert (deleted.status_code, deleted.content) == (204, b"")
        watch = await stream.to_end()
    assert watch.ended == {"reason": "deleted", "resumable": False}
    await eventually(lambda: not model.open_now(chat.session_id))
    assert (await ann.http.get(path)).status_code == 404
    assert (await ann.http.get(f"{chat.session_path}/messages")).status_code == 404
    assert (await chat.send("Hello?")).status_code == 404


async def test_killing_everything_loses_nothing_that_was_acknowledged(ann: Api, suite: Suite, model: FakeModel) -> None:
    project = await ann.new_project("Survivor")
    chat = await ann.new_chat(project["id"])
    await answer(chat.send("Remember this."))
    before = await chat.messages()
    # The model answers the second request for it: the first dies with its process.
    script = Script(fault="stall", times=1, key=chat.session_id)
    watch = Watch()
    async with chat.watch(watch=watch) as stream:
        active = await chat.start(saying(f"Try, {chat.session_id}.", script))
        queued = await chat.start("I wait.")
        await stream.until("message_delta")
        await suite.kill()
        # The gateway may have had the time to say that the others are gone.
        with pytest.raises((httpx.TransportError, StreamBroken)):
            await stream.to_end()
    await suite.start()

    assert await answer(ann.http.get(chat.project_path)) == project
    assert (await chat.messages())[: len(before)] == before
    first, second = await asyncio.gather(chat.run_after(active["id"]), chat.run_after(queued["id"]))
    assert first["state"] == "succeeded" or first["error"]["reason"], first
    assert second["state"] == "succeeded"
    async with chat.watch(watch=watch) as stream:
        resync = await stream.until("resync_required")
        assert resync["payload"]["latest_id"]
        await answered(chat)
        completed = await stream.until("agent_completed")
    assert completed["payload"]["message"] == (await chat.messages())[-1]
    for run in (active, queued):
        assert [event["final"] for event in await chat.timeline(run["id"])].count(True) == 1


async def test_sigterm_ends_open_streams_and_then_every_process_with_zero(
    ann: Api, suite: Suite, model: FakeModel
) -> None:
    idle, busy = await asyncio.gather(ann.new_chat(), ann.new_chat())
    async with idle.watch() as quiet, busy.stream(reciting(busy)) as active:
        await active.until("message_delta")
        # As a browser does: both streams are read while the suite stops.
        reading = asyncio.gather(quiet.to_end(), active.to_end())
        started = time.monotonic()
        codes = await suite.stop()
        seconds = time.monotonic() - started
        watches = await reading
    assert set(codes.values()) == {0}, codes
    # Before the end of their drain.
    assert seconds < 18, "processes waited instead of ending their streams"
    for watch in watches:
        assert watch.ended == {"reason": "shutdown", "resumable": True}

    model.open_gate(busy.session_id)
    await suite.start()
    run = await busy.run_after(active.watch.events[0]["run_id"])
    assert run["state"] == "succeeded"
    assert (await busy.messages())[-1]["content"] == POEM
    await answered(idle)
