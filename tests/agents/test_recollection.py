"""Recalling and remembering around a task, over a real socket, with the real openai client and a scripted endpoint."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from codelab.agents.v1 import agent_pb2, execution_service_pb2, memory_pb2, memory_service_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from tests.agents.calls import SECONDS, Agents, User, events_of, new_uuid, refused, serving
from tests.e2e.polling import eventually
from tests.fakes.openai_script import DEFAULT_ANSWER, Script
from tests.fakes.openai_server import FakeModel
from tests.fakes.openai_vectors import DIMENSION, vector_of

Event = execution_service_pb2.ExecuteResponse
FACT = "The staging database listens on port 6543."
QUESTION = "On which port listens the staging database?"


@pytest.fixture
async def embedding(tmp_path: Path, model: FakeModel) -> AsyncIterator[Agents]:
    """The service, whose model and embeddings are the scripted endpoint's."""
    settings = {"OPENAI_BASE_URL": model.url, "EMBEDDING_MODEL": "fake-embedding", "CODELAB_MODEL_RETRIES": "0"}
    async with serving(tmp_path, **settings) as running:
        yield running


@pytest.fixture
async def user(embedding: Agents) -> User:
    return embedding.user()


@pytest.fixture
async def agent_id(embedding: Agents, user: User) -> str:
    return (await embedding.create_space(user))[0].id


def context(events: list[Event]) -> execution_service_pb2.ExecutionContext:
    [found] = [event.context for event in events if event.WhichOneof("event") == "context"]
    return found


async def ask(agents: Agents, user: User, agent_id: str, text: str, **fields: object) -> list[Event]:
    return await events_of(agents.execute(user, agent_id, text, **fields))


async def remembered(agents: Agents, user: User, agent_id: str) -> list[memory_pb2.Memory]:
    request = memory_service_pb2.ListMemoriesRequest(project_id=user.project_id, agent_id=agent_id)
    return list((await agents.memories.ListMemories(request, metadata=user.metadata, timeout=SECONDS)).memories)


async def test_what_was_said_is_recalled_for_what_is_like_it_with_one_embedding_a_message(
    embedding: Agents, user: User, agent_id: str, model: FakeModel
) -> None:
    await ask(embedding, user, agent_id, FACT)
    events = await ask(embedding, user, agent_id, QUESTION)
    [memory] = context(events).memories
    assert memory.content == f"{FACT}\n\n{DEFAULT_ANSWER}"
    assert 0 < memory.score <= 1
    assert [len(exchange.body["input"]) for exchange in model.embeddings()] == [1, 1]
    [exchange] = model.exchanges(QUESTION)
    assert FACT in exchange.body["messages"][0]["content"]
    assert exchange.body["messages"][0]["role"] == "system"


async def test_recall_comes_before_the_answer_and_remembering_before_its_end(
    embedding: Agents, user: User, agent_id: str
) -> None:
    call = embedding.execute(user, agent_id, FACT)
    async for event in call:
        if event.WhichOneof("event") == "completed":
            # Whoever hears that it is done can count on it.
            assert len(await remembered(embedding, user, agent_id)) == 1


async def test_task_that_is_tried_again_does_not_recall_itself(embedding: Agents, user: User, agent_id: str) -> None:
    task = {"run_id": new_uuid(), "task_id": "answer", "session_id": new_uuid()}
    await ask(embedding, user, agent_id, FACT, **task, attempt=1)
    events = await ask(embedding, user, agent_id, FACT, **task, attempt=2)
    assert list(context(events).memories) == []
    assert len(await remembered(embedding, user, agent_id)) == 1


async def test_what_the_prompt_has_anyway_is_not_recalled_besides(embedding: Agents, user: User, agent_id: str) -> None:
    await ask(embedding, user, agent_id, FACT)
    history = [
        execution_service_pb2.HistoryMessage(role="user", content=FACT),
        execution_service_pb2.HistoryMessage(role="assistant", content=DEFAULT_ANSWER),
    ]
    events = await ask(embedding, user, agent_id, QUESTION, history=history)
    assert list(context(events).memories) == []


async def test_name_that_embeddings_blur_is_found_by_its_letters(embedding: Agents, user: User, agent_id: str) -> None:
    add = memory_service_pb2.ImportMemoriesRequest(project_id=user.project_id, agent_id=agent_id)
    for number in range(30):
        words = "The nightly job of the billing service failed again and was restarted by hand"
        add.memories.add(memory=memory_pb2.Memory(content=f"{words}, case {number}."))
    add.memories.add(memory=memory_pb2.Memory(content="Look for ERR_4711 in the manual of the card reader."))
    await embedding.memories.ImportMemories(add, metadata=user.metadata, timeout=SECONDS)
    question = "The nightly job of the billing service failed again with ERR_4711 and was restarted by hand, why?"
    events = await ask(embedding, user, agent_id, question)
    assert any("card reader" in memory.content for memory in context(events).memories)


async def test_embeddings_out_of_reach_are_done_without_and_said(
    embedding: Agents, user: User, agent_id: str, model: FakeModel
) -> None:
    await ask(embedding, user, agent_id, FACT)
    # The first of its requests is that for a vector: only that fails.
    text = f"{QUESTION} {Script(status=503, times=1).directive()}"
    events = await ask(embedding, user, agent_id, text)
    found = context(events)
    assert (list(found.memories), found.unavailable) == ([], "EMBEDDING_UNAVAILABLE")
    # By the time there was an answer to remember, there were vectors again.
    assert len(await remembered(embedding, user, agent_id)) == 2


async def test_embeddings_refused_fail_the_task_and_say_which_setting(
    embedding: Agents, user: User, agent_id: str
) -> None:
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "EMBEDDING_REFUSED") as errors:
        await ask(embedding, user, agent_id, f"Hello. {Script(status=404).directive()}")
    assert "EMBEDDING_MODEL" in errors[0].detail
    assert (await embedding.get(user, agent_id)).status == agent_pb2.AGENT_STATUS_ERROR


async def test_vectors_of_another_length_are_refused_with_the_command_that_mends_it(
    embedding: Agents, user: User, agent_id: str
) -> None:
    await ask(embedding, user, agent_id, FACT)
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "EMBEDDING_MISMATCH") as errors:
        await ask(embedding, user, agent_id, f"Hello. {Script(dimension=7).directive()}")
    assert "codelab memory migrate" in errors[0].detail


async def test_agent_that_was_deleted_while_it_answered_remembers_nothing(answering: Agents, model: FakeModel) -> None:
    user = answering.user()
    agent_id = (await answering.create_space(user))[0].id
    call = answering.execute(user, agent_id, f"Late. {Script(gate='deleted').directive()}")
    await eventually(lambda: model.open_now("Late."))
    await answering.delete(user, agent_id)
    with refused(grpc.StatusCode.NOT_FOUND, "AGENT_NOT_FOUND"):
        await events_of(call)


async def test_imported_vectors_are_taken_as_they_are(
    embedding: Agents, user: User, agent_id: str, model: FakeModel
) -> None:
    add = memory_service_pb2.ImportMemoriesRequest(project_id=user.project_id, agent_id=agent_id)
    number_of_them = 16
    for number in range(number_of_them):
        vector = [float(place == number) for place in range(DIMENSION)]
        add.memories.add(memory=memory_pb2.Memory(content=f"Number {number}."), vector=vector)
    made = await embedding.memories.ImportMemories(add, metadata=user.metadata, timeout=SECONDS)
    assert len(set(made.memory_ids)) == number_of_them
    # Once, to know how long they must be.
    assert len(model.embeddings()) == 1
    again = await embedding.memories.ImportMemories(add, metadata=user.metadata, timeout=SECONDS)
    assert again == made
    assert len(model.embeddings()) == 1
    newest = await remembered(embedding, user, agent_id)
    assert [memory.content for memory in newest] == [f"Number {number}." for number in reversed(range(number_of_them))]


async def test_vectors_too_large_or_too_small_to_square_are_found_like_others(
    embedding: Agents, user: User, agent_id: str
) -> None:
    add = memory_service_pb2.ImportMemoriesRequest(project_id=user.project_id, agent_id=agent_id)
    dimension = len(vector_of(QUESTION))
    for content, scale in (("Large.", 1e37), ("Small.", 1e-37)):
        add.memories.add(memory=memory_pb2.Memory(content=content), vector=[scale * x for x in vector_of(QUESTION)])
    assert all(len(each.vector) == dimension for each in add.memories)
    await embedding.memories.ImportMemories(add, metadata=user.metadata, timeout=SECONDS)
    events = await ask(embedding, user, agent_id, QUESTION)
    scores = {memory.content: memory.score for memory in context(events).memories}
    assert scores == {"Large.": pytest.approx(1.0, abs=1e-4), "Small.": pytest.approx(1.0, abs=1e-4)}


@pytest.mark.parametrize(
    ("vectors", "field"),
    [
        ([[0.0, 0.0]], "memories[0].vector"),
        ([[1.0, 0.0], [1.0]], "memories[1].vector"),
        ([[1.0, float("nan")]], "memories[0].vector[1]"),
        ([[1.0]], "memories[0].vector"),
    ],
)
async def test_bad_vectors_are_refused_and_nothing_is_kept(
    embedding: Agents, user: User, agent_id: str, vectors: list[list[float]], field: str
) -> None:
    add = memory_service_pb2.ImportMemoriesRequest(project_id=user.project_id, agent_id=agent_id)
    for number, vector in enumerate(vectors):
        add.memories.add(memory=memory_pb2.Memory(content=f"Number {number}."), vector=vector)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT") as errors:
        await embedding.memories.ImportMemories(add, metadata=user.metadata, timeout=SECONDS)
    assert field in str(vars(errors[0]))
    assert await remembered(embedding, user, agent_id) == []


@pytest.mark.parametrize("seconds", [253_402_300_799, -62_135_596_800])
async def test_time_that_lists_cannot_be_paged_by_is_refused(
    embedding: Agents, user: User, agent_id: str, seconds: int
) -> None:
    memory = memory_pb2.Memory(content="The end.", timestamp=Timestamp(seconds=seconds))
    add = memory_service_pb2.AddMemoryRequest(project_id=user.project_id, agent_id=agent_id, memory=memory)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "TIME_OUT_OF_RANGE") as errors:
        await embedding.memories.AddMemory(add, metadata=user.metadata, timeout=SECONDS)
    assert "memory.timestamp" in str(vars(errors[0]))


async def test_filter_by_what_is_no_time_is_refused(embedding: Agents, user: User, agent_id: str) -> None:
    late = Timestamp(seconds=253_402_300_800)
    asking = memory_service_pb2.ListMemoriesRequest(project_id=user.project_id, agent_id=agent_id, since=late)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT") as errors:
        await embedding.memories.ListMemories(asking, metadata=user.metadata, timeout=SECONDS)
    assert "since" in str(vars(errors[0]))
