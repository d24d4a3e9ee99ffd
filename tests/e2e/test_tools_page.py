"""docs/tools.md tells the truth: of tools, of limits, of policies, and of the way from a message to a decision."""

import asyncio
import json
import re
import shlex
import shutil
import subprocess
import sys
import uuid

import pytest
from codelab.orchestrator.v1.approval_pb2 import Approval, ApprovalKind

from services.agents.sandbox.sandbox import Limits
from services.agents.tools.tool import MOST_ARGUMENTS, MOST_OUTPUT
from services.agents.workspaces.folders import MOST_ENTRIES
from services.agents.workspaces.names import MOST_NAMES
from services.agents.workspaces.workspace import MOST_FILE
from services.chat.deciding import prompt
from services.chat.question import lines_of
from services.runtime.settings import Settings
from services.terminal import Style
from tests.e2e.approving import asking, call, permit
from tests.e2e.client import Api, answer, signed_in
from tests.e2e.events import Event
from tests.e2e.events_page import blocks
from tests.e2e.suite import ROOT, Suite

TEXT = (ROOT / "docs" / "tools.md").read_text(encoding="utf-8")
[PROGRAM] = blocks(TEXT).values()

on_one_layout = pytest.mark.one_layout


def section(name: str) -> str:
    return TEXT.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of its tables, below their heads."""
    lines = re.findall(r"^\| (?!---)(.*) \|$", text, re.MULTILINE)
    return [[cell.strip(" `") for cell in line.split(" | ")] for line in lines]


@on_one_layout
async def test_table_has_the_tools_that_there_are(ann: Api) -> None:
    chat = await ann.new_chat()
    tools = (await answer(chat.http.get(f"{chat.project_path}/tools")))["tools"]
    table = [row[:3] for row in rows(section("Tools"))[1:]]
    assert table == [[each["name"], each["risk"], each["decision"]] for each in tools]


def test_limits_are_those_of_the_services() -> None:
    setting = {str(field.validation_alias): field.default for field in Settings.model_fields.values()}
    limits = Limits()
    for where, sentence in (
        ("Tools", f"{MOST_OUTPUT:,} characters"),
        ("Tools", f"Arguments may have {MOST_ARGUMENTS:,}."),
        ("Tools", f"After {setting['CODELAB_TASK_STEPS']} rounds of calls\n(`CODELAB_TASK_STEPS`)"),
        ("The workspace", f"files of more than {MOST_FILE >> 20} MiB"),
        ("The workspace", f"{setting['CODELAB_WORKSPACE_MB']} MiB (`CODELAB_WORKSPACE_MB`)"),
        ("The workspace", f"{MOST_ENTRIES:,} entries are in a workspace, {MOST_NAMES} names in a path"),
        ("Commands", f"{setting['CODELAB_COMMAND_SECONDS']:g} s (`CODELAB_COMMAND_SECONDS`)"),
        ("Commands", f"{setting['CODELAB_COMMAND_MEMORY_MB']} MiB (`CODELAB_COMMAND_MEMORY_MB`)"),
        ("Commands", f"| processes and threads | {limits.processes} |"),
        ("Commands", f"{limits.output_bytes >> 20} MiB, of which the model is told {MOST_OUTPUT:,} characters"),
    ):
        assert sentence in section(where)
    assert setting["CODELAB_APPROVAL_SECONDS"] == 5 * 60
    assert TEXT.count("in five minutes (`CODELAB_APPROVAL_SECONDS`)") == 2


@on_one_layout
async def test_policies_of_the_page_decide_what_it_says(ann: Api) -> None:
    chat = await ann.new_chat()
    agents = (await answer(chat.http.get(f"{chat.project_path}/agents")))["agents"]

    async def decided(rules: list[Event], **query: str) -> dict[str, str]:
        await permit(chat, *rules)
        tools = (await answer(chat.http.get(f"{chat.project_path}/tools", params=query)))["tools"]
        return {each["name"]: each["decision"] for each in tools}

    [example] = re.findall(r"PUT /my/projects/\{project_id\}/tool-policy\n(\{.*?\n\]\})", section("Policy"), re.DOTALL)
    rules = json.loads(example.replace("{agent_id}", agents[0]["id"]))["rules"]
    expected = {"edit_file": "auto", "write_file": "ask", "run_command": "ask", "read_file": "auto"}
    assert (await decided(rules)).items() >= expected.items()
    assert (await decided(rules, agent_id=agents[0]["id"]))["run_command"] == "deny"
    asked = {
        want: [json.loads(each) for each in re.findall(r"\{.*?\}", said)] for want, said in rows(section("Policy"))
    }
    for want, rules_of_it, tools in (
        ("look, but touch nothing", 2, {"read_file": "auto", "edit_file": "deny", "run_command": "deny"}),
        ("files freely, commands asked", 1, {"write_file": "auto", "run_command": "ask"}),
        ("memories freely, files asked", 1, {"remember": "auto", "write_file": "ask"}),
        ("ask even before looking", 1, {"read_file": "ask", "list_directory": "ask"}),
    ):
        assert len(asked[want]) == rules_of_it
        assert (await decided(asked[want])).items() >= tools.items()


@on_one_layout
@pytest.mark.parametrize(("said", "told"), [("yes", "Made `haiku.txt`: 5 bytes."), ("no", "I would rather not.")])
async def test_program_goes_from_a_message_to_a_decision(suite: Suite, said: str, told: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    token = await suite.token(str(uuid.uuid4()))
    program = PROGRAM.replace("http://127.0.0.1:8000", suite.url).replace(
        "$(.venv/bin/codelab token)", shlex.quote(token)
    )
    assert token in program
    message = asking([call("write_file", path="haiku.txt", content="Parse")])
    process = await asyncio.create_subprocess_exec(
        *("bash", "-e", "-u", "-o", "pipefail", "-c", program, "approve.sh", message),
        env={**suite.environment, "PATH": f"{sys.prefix}/bin:{suite.environment['PATH']}"},
        cwd=suite.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        stdout, stderr = await process.communicate(f"{said}\n".encode())
    assert process.returncode == 0, stderr.decode()
    printed = stdout.decode()
    assert '"path": "haiku.txt"' in printed
    assert told in printed.splitlines()[-1]
    async with signed_in(suite.url, token) as api:
        [project] = (await answer(api.http.get("/my/projects")))["projects"]
    assert project["name"] == "Tools"


def test_question_in_the_page_and_in_the_readme_is_as_the_chat_shows_it() -> None:
    asked = Approval(kind=ApprovalKind.APPROVAL_KIND_TOOL)
    [payload] = re.findall(r"```json\n(\{\n  \"kind\": \"tool\".*?)```", section("Approvals"), re.DOTALL)
    asked.payload.update(json.loads(payload)["payload"])
    *shown, until = lines_of(asked, Style(colours=False))
    last = re.sub(r"\d\d:\d\d:\d\d", "12:05:00", until)
    block = "\n".join(["```text", *shown, last, prompt(asked).rstrip(), "```"])
    assert block in section("Approvals")
    assert block in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)]+)\)", TEXT))))
def test_link_leads_somewhere(link: str) -> None:
    path, _, anchor = link.partition("#")
    page = ROOT / "docs" / (path or "tools.md")
    assert page.exists()
    if anchor:
        headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings}
