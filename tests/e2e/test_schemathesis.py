"""The live API is what its document says, whatever is sent: thousands of requests that schemathesis derives from it."""

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PART
from tests.e2e.approving import asking, call, waiting
from tests.e2e.client import AGENT, Api, answer, signed_in
from tests.e2e.suite import Layout, Suite

ROOT = Path(__file__).resolve().parents[2]
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
# Nothing is random: the same requests are made each time, more of them where nothing may be skipped.
EXAMPLES = 1 if PART == "usual" else 15
SCENARIOS = 10 if PART == "usual" else 100
# Less than what pytest gives a test.
PROCESS_SECONDS = 240.0

CONFIG = """
base-url = "{url}"
hooks = "{hooks}"
continue-on-failure = true
request-timeout = 20
warnings = false

[generation]
mode = "all"
max-examples = {examples}
deterministic = true
database = "none"
# No schema says it; the table of bad inputs does.
allow-x00 = false

# What it created itself, or found in a list, is deleted in scenarios only: else little is left to work on.
[phases]
examples.extra-data-sources.responses = false
coverage.extra-data-sources.responses = false
fuzzing.extra-data-sources.responses = false

[phases.stateful.generation]
max-examples = {scenarios}

[auth.openapi.bearer]
bearer = "{token}"

[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx"]
# Now and then it makes a query that is longer than any may be.
negative_data_rejection.expected-statuses = ["4xx"]
positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "429"]
{dictionaries}
# A stream of events ends with its run, or never, and what the links lead to has no run that is over.
[[operations]]
include-operation-id = "EventService_Subscribe"
phases.stateful.enabled = false

[[operations]]
include-operation-id = "RunService_CancelRun"
parameters = {{ "path.run_id" = {{ dictionary = "cancelled_id", probability = 0.7 }} }}

# What is deleted is not what the others are about.
[[operations]]
include-method = "DELETE"
include-path = "/my/projects/{{project_id}}"
parameters = {{ "path.project_id" = {{ dictionary = "spare_project_id", probability = 0.7 }} }}

[[operations]]
include-method = "DELETE"
include-path = "/my/projects/{{project_id}}/agents/{{agent_id}}"
parameters = {{ "path.agent_id" = {{ dictionary = "spare_agent_id", probability = 0.7 }} }}

[[operations]]
include-method = "DELETE"
include-path = "/my/projects/{{project_id}}/chat/sessions/{{session_id}}"
parameters = {{ "path.session_id" = {{ dictionary = "spare_session_id", probability = 0.7 }} }}
"""
PATHS = ("project_id", "agent_id", "session_id", "run_id", "approval_id")


async def estate(api: Api) -> dict[str, str]:
    """Something of each kind that there is, and something more to delete."""
    chat = await api.new_chat()
    await answer(chat.send("Good day"))
    finished = (await answer(api.http.get(f"{chat.project_path}/runs")))["runs"][0]["id"]
    agents = (await answer(api.http.get(f"{chat.project_path}/agents")))["agents"]
    hanging = await api.new_chat(chat.project_id)
    cancelled = await hanging.start('Wait. #model {"fault": "hang"}')
    await answer(hanging.cancel(cancelled["id"]))
    asks = await api.new_chat(chat.project_id)
    [approval] = await waiting(asks, (await asks.start(asking([call("write_file", path="a", content="")])))["id"])
    agent_id = next(each["id"] for each in agents if each["name"] == AGENT)
    memories = f"{chat.project_path}/agents/{agent_id}/memory"
    return {
        "project_id": chat.project_id,
        "agent_id": agent_id,
        "memory_id": (await answer(api.http.get(memories)))["memories"][0]["id"],
        "spare_memory_id": (await answer(api.http.post(memories, json={"content": "Spare."}), 201))["id"],
        "session_id": chat.session_id,
        "run_id": finished,
        "cancelled_id": cancelled["id"],
        "approval_id": approval["id"],
        "spare_project_id": (await api.new_project())["id"],
        "spare_agent_id": next(each["id"] for each in agents if each["name"] != AGENT),
        "spare_session_id": (await api.new_chat(chat.project_id)).session_id,
    }


def configuration(suite: Suite, token: str, ids: dict[str, str]) -> str:
    dictionaries = [f'[dictionaries.{name}]\nvalues = ["{value}"]' for name, value in ids.items()]
    bindings = [f'"path.{name}" = {{ dictionary = "{name}", probability = 0.9 }}' for name in PATHS]
    return CONFIG.format(
        url=suite.url,
        hooks=HOOKS,
        examples=EXAMPLES,
        scenarios=SCENARIOS,
        token=token,
        dictionaries="\n".join([*dictionaries, "[parameters]", *bindings]),
    )


@pytest.mark.longer_in_rest
@pytest.mark.parametrize("suite", [Layout.ONE], indirect=True, ids=str, scope="session")
async def test_no_request_gets_an_answer_that_the_document_does_not_know(suite: Suite, tmp_path: Path) -> None:
    token = await suite.token(str(uuid.uuid4()))
    async with signed_in(suite.url, token) as api:
        ids = await estate(api)
    (tmp_path / "schemathesis.toml").write_text(configuration(suite, token, ids), encoding="utf-8")
    tally = tmp_path / "tally.jsonl"
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).parent / "schemathesis", "--config-file", "schemathesis.toml"),
        *("run", f"{suite.url}/openapi.json"),
        cwd=tmp_path,
        env={
            **os.environ,
            "CODELAB_TALLY": str(tally),
            "CODELAB_IDS": json.dumps(ids),
            "PYTHONPATH": str(ROOT),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(PROCESS_SECONDS):
            output = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, output

    answers: list[dict[str, Any]] = [json.loads(line) for line in tally.read_text(encoding="utf-8").splitlines()]
    failed = [each for each in answers if each["status"] >= 500]
    assert failed == []
    statuses: dict[str, Counter[int]] = defaultdict(Counter)
    for each in answers:
        statuses[each["operation"]][each["status"]] += 1
    # It reached what it was to reach: each operation did its work at least once, and refused something.
    idle = {name for name, counted in statuses.items() if not any(200 <= status < 300 for status in counted)}
    assert idle == set(), output
    assert len(statuses) >= 25
