"""An exchange with a suite that does not let it watch at once."""

import asyncio
import io
from typing import Any

import pytest
from codelab.agents.v1.agent_pb2 import Agent
from codelab.orchestrator.v1 import run_service_pb2, run_service_pb2_grpc
from codelab.orchestrator.v1.run_pb2 import Run
from codelab.orchestrator.v1.session_pb2 import Session
from codelab.projects.v1.project_pb2 import Project

from codelab_client import Client, subscription
from services.chat.conversation import Conversation
from services.chat.deciding import Means
from services.chat.exchange import Outcome, exchange
from services.chat.screen import Screen
from services.streams.errors import TooManyStreams
from tests.client.conftest import Scripted, answering
from tests.streams.world import event


class Suite(Scripted, run_service_pb2_grpc.RunServiceServicer):
    """Has one run, whose events are as scripted."""

    async def CreateRun(
        self, request: run_service_pb2.CreateRunRequest, context: Any
    ) -> run_service_pb2.CreateRunResponse:
        return run_service_pb2.CreateRunResponse(run=Run(id="r", session_id="s"))


async def test_who_has_too_many_streams_is_told_once_what_to_do_and_gets_the_answer_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscription, "FIRST_PAUSE_SECONDS", 0.001)
    full = TooManyStreams(3)
    full.retry_after = 0.001
    seen, done = event("agent_started"), event("agent_completed", final=True, output="Done.")
    cut = event("stream_ended", reason="rotated", resumable=True)
    suite = Suite(streams=[[full], [full], [seen, cut], [full], [full], [done], []])
    out, errors = io.StringIO(), io.StringIO()
    async with (
        answering(suite, run_service_pb2_grpc.add_RunServiceServicer_to_server),
        Client(suite.address, token="t") as client,
        asyncio.timeout(30),
    ):
        conversation = Conversation(client, Project(id="p"), [], Agent(id="a"))
        conversation.session = Session(id="s")
        outcome = await exchange(conversation, Screen(out, errors), Means(None, "", ""), "Hello.")
    assert (outcome, out.getvalue()) == (Outcome.ANSWERED, "Done.\n")
    first, again = errors.getvalue().splitlines()
    assert "3 of your event streams are open" in first
    assert "Close another chat" in first
    assert again == first
