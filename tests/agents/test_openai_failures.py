"""Knowing that it is the tools that an endpoint does not take, by the words of those that are known."""

from typing import Any

import httpx2
import openai
import pytest

from services.agents.openai_failures import failure_of


def refused(status: int, body: Any) -> str | None:
    """The parameter that an endpoint refuses; the client takes what it says out of its `error`."""
    response = httpx2.Response(status, request=httpx2.Request("POST", "http://model"))
    failure = failure_of(
        openai.APIStatusError("text", response=response, body=body), "m", said=False, silence_seconds=1
    )
    assert failure is not None
    return failure.refused_parameter


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(400, {"message": "registry.ollama.ai/library/gemma3:4b does not support tools"}, id="Ollama"),
        pytest.param(400, "llama2 does not support tools", id="Ollama's own"),
        pytest.param(
            400,
            {"message": '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'},
            id="vLLM",
        ),
        pytest.param(
            404, {"message": "No endpoints found that support tool use. To learn", "code": 404}, id="OpenRouter"
        ),
        pytest.param(500, {"code": 500, "message": "tools param requires --jinja flag"}, id="llama.cpp"),
        pytest.param(
            422, {"detail": [{"loc": ["body", "tools"], "msg": "Extra inputs are not permitted"}]}, id="FastAPI"
        ),
        pytest.param(400, {"message": "odd", "param": "tools"}, id="OpenAI"),
        pytest.param(400, {"message": "Unrecognized request argument supplied: tools"}, id="unrecognized"),
        pytest.param(400, {"message": "deepseek-reasoner does not support Function Calling"}, id="function calling"),
        pytest.param(400, {"message": "`tool calling` is not supported with this model"}, id="tool calling"),
        pytest.param(400, {"message": "tools is not supported in this model."}, id="not supported"),
        pytest.param(400, {"message": "tool_choice must be a named tool or 'none'"}, id="choice that was not sent"),
        pytest.param(400, {"message": "Only user and assistant roles are supported!"}, id="template without roles"),
    ],
)
def test_refusal_of_tools_is_known_however_it_is_worded(status: int, body: Any) -> None:
    assert refused(status, body) in ("tools", "tool_choice")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            400,
            {"message": "This model's maximum context length is 8192 tokens; you used 9000, 400 of them in the tools"},
        ),
        (400, {"message": "Invalid 'messages[2].tool_calls': 'tool_call_id' of 'x' did not have a response"}),
        (400, {"message": "messages with role 'tool' must be a response to a preceding message with 'tool_calls'"}),
        (422, {"detail": [{"loc": ["body", "seed"], "msg": "no", "input": {"content": "it does not support tools"}}]}),
        (429, {"message": "this key does not support tools"}),
        (503, {"message": "tools are not available"}),
        (404, {"message": "The model `m` does not exist"}),
    ],
)
def test_other_failures_that_tell_of_tools_are_no_refusal_of_them(status: int, body: Any) -> None:
    assert refused(status, body) is None


def test_schema_that_is_refused_is_told_and_not_dropped_with_all_tools() -> None:
    assert refused(400, {"message": "Invalid schema", "param": "tools[0].function.parameters"}) not in ("tools", None)
