"""Ids of requests on their way in."""

from codelab.agents.v1 import agent_pb2, agent_service_pb2, execution_service_pb2
from codelab.orchestrator.v1 import event_pb2, run_service_pb2
from codelab.streams.v1 import event_service_pb2, publish_service_pb2
from google.protobuf.message import Message

from services.runtime.ids import new_id
from services.runtime.resource_ids import settle_ids

ONE, TWO, THREE = (new_id() for _ in range(3))


def settled(request: Message) -> Message:
    settle_ids(request)
    return request


def test_uuids_are_in_lower_case_behind_the_door() -> None:
    got = settled(agent_service_pb2.GetAgentRequest(project_id=ONE.upper(), agent_id=TWO.title()))
    assert got == agent_service_pb2.GetAgentRequest(project_id=ONE, agent_id=TWO)


def test_so_are_those_in_lists_filters_and_messages_within() -> None:
    closing = publish_service_pb2.CloseSessionsRequest(project_id=ONE, session_ids=[TWO.upper(), THREE.upper()])
    assert settled(closing) == publish_service_pb2.CloseSessionsRequest(project_id=ONE, session_ids=[TWO, THREE])
    opening = publish_service_pb2.PublishOpen(project_id=ONE.upper(), session_id=TWO.upper(), run_id=THREE.upper())
    assert settled(publish_service_pb2.PublishRequest(open=opening)) == publish_service_pb2.PublishRequest(
        open=publish_service_pb2.PublishOpen(project_id=ONE, session_id=TWO, run_id=THREE)
    )
    task = execution_service_pb2.ExecuteRequest(inputs=[execution_service_pb2.TaskInput(task_id=ONE.upper())])
    assert settled(task) == execution_service_pb2.ExecuteRequest(inputs=[execution_service_pb2.TaskInput(task_id=ONE)])


def test_what_is_unset_stays_unset() -> None:
    for request in (run_service_pb2.ListRunsRequest(), publish_service_pb2.PublishRequest()):
        assert settled(request) == type(request)()


def test_what_is_no_uuid_stays_as_it_is() -> None:
    for text in ("CodeAssistant", "A" * 300, f"{{{ONE.upper()}}}", ONE.upper() + "\n", ONE.replace("-", "").upper()):
        request = run_service_pb2.SendMessageRequest(project_id=text, session_id=text, target_agent=text)
        assert settled(request) == run_service_pb2.SendMessageRequest(
            project_id=text, session_id=text, target_agent=text
        )


def test_nul_which_databases_refuse_becomes_what_is_in_no_id() -> None:
    got = settled(event_service_pb2.SubscribeRequest(project_id=f"{ONE}\0", session_id="\0"))
    assert got == event_service_pb2.SubscribeRequest(project_id=f"{ONE}\ufffd", session_id="\ufffd")


def test_what_is_no_id_is_not_touched() -> None:
    text = ONE.upper()
    agent = agent_service_pb2.CreateAgentRequest(project_id=ONE, agent=agent_pb2.Agent(name=text), request_id=text)
    event = event_pb2.Event(session_id=text, run_id=text, run_cancelled=event_pb2.RunCancelled(reason=text))
    frame = publish_service_pb2.PublishRequest(event=publish_service_pb2.PublishEvent(event=event))
    for request in (agent, frame):
        before = type(request).FromString(request.SerializeToString())
        assert settled(request) == before
