"""The sandbox of commands and the tool that uses it: what comes out, what is left behind, and where there is none.

What commands try in order to get out is in command_escapes.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.agents.agent import Owner
from services.agents.sandbox.bubblewrap import Bubblewrap
from services.agents.sandbox.choice import lacking, open_sandbox, user_of_commands
from services.agents.sandbox.sandbox import Ended, NotStarted
from services.agents.tools.file_tools import file_tools
from services.agents.tools.run_command import RunCommand, command_tools
from services.agents.tools.tool import MOST_OUTPUT, Output, ToolFailed
from services.agents.workspaces.workspaces import Workspaces
from services.doctor.commands import commands
from services.runtime.settings import Settings
from tests.agents.sandboxes import (
    OWNER,
    ROADS,
    SMALL,
    Places,
    caller,
    folder_for,
    owner_of_folders,
    processes_on,
    python,
    sandbox,
    temporary_folder,
    workspaces_for,
)
from tests.e2e.polling import eventually

pytestmark = pytest.mark.server_backed


@pytest.fixture(params=ROADS)
def road(request: pytest.FixtureRequest) -> str:
    """Who the server is."""
    if why := lacking():
        pytest.skip(why)
    return str(request.param)


@pytest.fixture
def folder(road: str) -> Iterator[Path]:
    """A project's folder."""
    with temporary_folder() as base:
        yield folder_for(road, base)


@pytest.fixture
def tool(road: str, folder: Path) -> RunCommand:
    return RunCommand(sandbox(road), Places(folder))


async def said_by(tool: RunCommand, command: str) -> str:
    return (await tool.run(caller(), {"command": command})).text


async def nothing() -> int:
    return 0


def mode(folder: Path) -> int:
    return folder.stat().st_mode & 0o777


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_both_outputs_come_in_the_order_in_which_they_were_printed(tool: RunCommand) -> None:
    output = await tool.run(caller(), {"command": "echo one; echo two >&2; echo three; echo four >&2"})
    assert output == Output("one\ntwo\nthree\nfour\n[exit status 0]")


@pytest.mark.parametrize(
    ("command", "how"),
    [
        ("exit 2", "[exit status 2]"),
        ("no-such-program", "sh: 1: no-such-program: not found\n[exit status 127]"),
        ("kill -SEGV $$", "[exit status 139, as of a process that SIGSEGV ended]"),
    ],
)
async def test_failure_is_told_in_words(tool: RunCommand, command: str, how: str) -> None:
    assert await tool.run(caller(), {"command": command}) == Output(how, success=False)


async def test_of_long_output_the_beginning_and_the_end_are_told(tool: RunCommand) -> None:
    output = await tool.run(caller(), {"command": "echo first; seq 90000; echo last; exit 1"})
    assert output.text.startswith("first\n1\n2\n")
    assert output.text.endswith("\n90000\nlast\n[exit status 1]")
    assert "left out" in output.text
    assert (output.truncated, output.success) == (True, False)
    assert len(output.text) <= MOST_OUTPUT


async def test_server_and_commands_read_and_change_what_the_other_made(
    tool: RunCommand, folder: Path, road: str
) -> None:
    ours = folder / "ours"
    ours.write_text("of the server\n")
    os.chown(ours, owner_of_folders(road), -1)

    said = await said_by(tool, "cat ours; echo and of a command >>ours; mkdir -p made/below; echo new >made/below/file")

    assert said == "of the server\n[exit status 0]"
    assert ours.read_text() == "of the server\nand of a command\n"
    made = folder / "made" / "below" / "file"
    made.write_text(made.read_text() + "changed\n")
    assert await said_by(tool, "cat made/below/file") == "new\nchanged\n[exit status 0]"


async def test_folder_that_a_command_has_closed_is_open_again(tool: RunCommand, folder: Path) -> None:
    await said_by(tool, "chmod 000 .")
    assert mode(folder) == 0o700
    assert await said_by(tool, "touch x && ls") == "x\n[exit status 0]"


async def test_caller_asks_for_less_time_and_gets_no_more_than_there_is(road: str, folder: Path) -> None:
    tool = RunCommand(sandbox(road, replace(SMALL, seconds=0.2)), Places(folder))
    assert await said_by(tool, "sleep 99") == "[killed after 0.2 s, which was its time]"
    output = await tool.run(caller(), {"command": "sleep 99", "timeout_seconds": 50})
    assert output.text == "[killed after 0.2 s, which was its time]"


async def test_full_folder_can_only_be_emptied(road: str, folder: Path) -> None:
    tool = RunCommand(sandbox(road, replace(SMALL, folder_bytes=1024**2)), Places(folder))
    (folder / "much").write_bytes(bytes(2 * 1024**2))
    os.chown(folder / "much", owner_of_folders(road), -1)
    assert "of the workspace's space" in await said_by(tool, "echo more >file")
    assert await said_by(tool, "rm much && ls") == "file\n[exit status 0]"
    assert await said_by(tool, "echo more >file; cat file") == "more\n[exit status 0]"


async def test_folder_that_cannot_be_counted_takes_no_more(road: str) -> None:
    with temporary_folder() as base:
        workspaces = await workspaces_for(road, base)
        tool = RunCommand(sandbox(road, replace(SMALL, new_files=300)), workspaces)
        deep = await workspaces.folder(OWNER)
        for _ in range(101):
            deep /= "d"
            deep.mkdir()
            os.chown(deep, owner_of_folders(road), -1)
        said = await said_by(tool, python("import os\nfor n in range(200_000): os.symlink('x', f'd/{n}')"))
        assert "too many files" in said
        assert await said_by(tool, "rm -r d && ls") == "[exit status 0]"


async def test_files_without_a_name_count_too(road: str) -> None:
    with temporary_folder() as base:
        tool = RunCommand(sandbox(road), await workspaces_for(road, base))
        said = await said_by(
            tool,
            python(
                "import os, time\n"
                "kept = []\n"
                "for n in range(40):\n"
                "    kept.append(open('x', 'wb')); os.unlink('x')\n"
                "    kept[-1].write(os.urandom(2**20)); kept[-1].flush(); time.sleep(0.02)\n"
                "time.sleep(9)\n"
            ),
        )
        assert "the workspace would have held more than 8 MiB" in said


async def test_more_processes_and_threads_than_permitted_end_the_command(tool: RunCommand, road: str) -> None:
    said = await said_by(tool, "for n in $(seq 40); do sleep 99 & done; wait")
    if road == "as_root":
        assert said == "[killed: it had more than 32 processes and threads at once]"
    else:
        assert "Cannot fork" in said


@pytest.mark.parametrize("times", [1, 2])
async def test_cancelled_caller_leaves_nothing(tool: RunCommand, folder: Path, times: int) -> None:
    command = "(setsid sleep 1000 &); trap '' TERM; touch here; sleep 1000; sleep 1000"
    running = asyncio.create_task(tool.run(caller(), {"command": command}))
    await eventually((folder / "here").exists, what="the command's start")
    assert processes_on(folder)

    for _ in range(times):
        running.cancel()
        await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        await running
    if times == 1:
        assert processes_on(folder) == []
    # Who is cancelled while it waits for the end does not wait for it; it comes all the same.
    await eventually(lambda: not processes_on(folder), what="the end of all processes")


async def test_caller_that_is_cancelled_at_the_start_leaves_nothing(tool: RunCommand, folder: Path) -> None:
    for turns in range(0, 12, 3):
        running = asyncio.create_task(tool.run(caller(), {"command": "touch here; sleep 1000"}))
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert processes_on(folder) == []


async def test_commands_at_once_see_nothing_of_each_other(road: str) -> None:
    with temporary_folder() as first, temporary_folder() as second:
        tools = [RunCommand(sandbox(road), Places(folder_for(road, each))) for each in (first, second)]
        waiting = asyncio.create_task(said_by(tools[0], "touch /tmp/mine here; sleep 0.5; cat /proc/*/comm"))
        await eventually((first / "workspace" / "here").exists, what="the first command's start")
        other = await said_by(tools[1], "cat /proc/*/comm; ls -A /tmp /workspace /dev/shm")
        assert "sleep" not in other
        assert "mine" not in other
        assert "here" not in other
        assert "ls" not in (await waiting).split()


async def test_commands_leave_no_descriptor_open(tool: RunCommand) -> None:
    await said_by(tool, "true")
    before = open_descriptors()
    for command in ("true", "exit 1", "yes"):
        await said_by(tool, command)
    assert open_descriptors() <= before


async def test_what_shall_be_hidden_cannot_be_seen_below_usr(road: str, folder: Path) -> None:
    hidden, file = Path("/usr/share/doc"), Path("/usr/bin/passwd")
    tool = RunCommand(sandbox(road, hidden=(hidden, file, Path("/usr/not-there"))), Places(folder))
    assert await said_by(tool, f"ls -A {hidden}; touch {hidden}/x; cat {file}") == (
        f"touch: cannot touch '{hidden}/x': Read-only file system\ncat: {file}: Permission denied\n[exit status 1]"
    )


async def test_server_that_is_killed_takes_its_commands_along(folder: Path, road: str) -> None:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.agents.sandbox_server", road, str(folder)
    )
    try:
        await eventually((folder / "here").exists, what="the command's start")
        assert processes_on(folder)
    finally:
        server.kill()
        assert await server.wait() == -signal.SIGKILL
    await eventually(lambda: not processes_on(folder), what="the end of all processes")


async def test_folder_that_cannot_be_mounted_is_a_failure_that_names_no_path(road: str, folder: Path) -> None:
    tool = RunCommand(sandbox(road), Places(folder / "gone"))
    with pytest.raises(NotStarted, match="gone"):
        await sandbox(road).run(folder / "gone", "true", 5.0, nothing)
    with pytest.raises(ToolFailed) as failed:
        await tool.run(caller(), {"command": "true"})
    assert str(failed.value) == "The command was not run: its sandbox could not be set up. Try again later."


async def test_command_of_a_project_that_is_deleted_ends(road: str, folder: Path) -> None:
    class Deleted(Places):
        asked = 0

        async def used_bytes(self, owner: Owner) -> int:
            self.asked += 1
            if self.asked > 1:
                raise ToolFailed("The project was deleted.")
            return 0

    with pytest.raises(ToolFailed, match="deleted"):
        await RunCommand(sandbox(road), Deleted(folder)).run(caller(), {"command": "sleep 1000"})
    assert processes_on(folder) == []


async def test_this_machine_has_a_sandbox_of_the_settings() -> None:
    if why := lacking():
        pytest.skip(why)
    settings = Settings.load({"CODELAB_COMMAND_SECONDS": "7", "CODELAB_COMMAND_MEMORY_MB": "99"}, dotenv={})
    (tool,) = await command_tools(settings, Places(Path("/")))
    assert tool.unavailable is None
    assert (tool.spec.name, tool.spec.risk) == ("run_command", "execute")
    assert tool.spec.parameters["properties"]["timeout_seconds"]["maximum"] == 7
    assert "99 MiB" in tool.spec.description
    (finding,) = await commands(settings)
    assert (finding.status, finding.detail) == ("ok", "agents run them in a sandbox, 7 s and 99 MiB each")


_WRITING = """
import asyncio, sys
from pathlib import Path
from services.agents.agent import Owner
from services.agents.workspaces.workspaces import Workspaces

def work(files):
    files.write("a/file", b"old")
    files.write("a/file", b"new")
    print([entry.path for entry in files.entries(".", 2)], files.read("a/file").data)

asyncio.run(Workspaces(Path(sys.argv[1]), 10 << 20).use(Owner(*sys.argv[2:]), work))
"""


async def test_file_tools_write_to_a_workspace_that_is_mounted_from_elsewhere(tmp_path: Path) -> None:
    if why := lacking():
        pytest.skip(why)
    owner = (OWNER.user_id, OWNER.project_id)
    folder = await Workspaces(tmp_path, 10 << 20).folder(OWNER)
    mounted = ["bwrap", "--dev-bind", "/", "/", "--tmpfs", str(folder)]
    child = await asyncio.create_subprocess_exec(
        *mounted, sys.executable, "-c", _WRITING, str(tmp_path), *owner, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await child.communicate()
    assert printed.decode() == "['a', 'a/file'] b'new'\n"
    assert list(folder.parent.iterdir()) == [folder]


async def test_file_tools_and_commands_of_one_server_work_on_the_same_files(tmp_path: Path) -> None:
    if why := lacking():
        pytest.skip(why)
    settings = Settings.load({"CODELAB_DATA_DIR": str(tmp_path / "data")}, dotenv={})
    workspaces = Workspaces.of(settings, given_to=user_of_commands())
    tools = {tool.spec.name: tool for tool in (*file_tools(workspaces), *await command_tools(settings, workspaces))}

    async def call(name: str, **arguments: str) -> str:
        return (await tools[name].run(caller(), arguments)).text

    await call("write_file", path="src/sum.py", content="print(1 + 1)\n")
    assert await call("run_command", command="python3 src/sum.py | tee src/said") == "2\n[exit status 0]"
    await call("edit_file", path="src/said", old_text="2", new_text="two")
    assert await call("run_command", command="cat src/said; rm -r src") == "two\n[exit status 0]"
    assert "src" not in await call("list_directory", path=".")


async def test_machine_without_bubblewrap_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("setpriv", "prlimit", "nice"):
        (tmp_path / name).touch(mode=0o755)
    (tool,) = await command_tools(Settings.load({}, dotenv={}), Places(tmp_path))
    assert tool.unavailable == "Commands need bubblewrap: `apt-get install bubblewrap`."
    with pytest.raises(ToolFailed, match="need bubblewrap"):
        await tool.run(caller(), {"command": "true"})
    (finding,) = await commands(Settings.load({}, dotenv={}))
    assert (finding.status, finding.detail, finding.mend) == ("ok", "agents cannot run any here", tool.unavailable)


async def test_machine_whose_kernel_refuses_namespaces_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if why := lacking():
        pytest.skip(why)
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    opened = await open_sandbox(Settings.load({}, dotenv={}))
    assert opened.unavailable is not None
    assert opened.unavailable.startswith(
        "The kernel or the container refuses a sandbox: No permissions to create new namespace. Permit user namespaces"
    )
    with pytest.raises(NotStarted):
        await opened.run(tmp_path, "true", 1.0, nothing)


async def test_sandbox_that_does_not_hold_what_it_promises_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def as_root(*_: object) -> Ended:
        return Ended(1, None, b"")

    if why := lacking():
        pytest.skip(why)
    monkeypatch.setattr(Bubblewrap, "run", as_root)
    assert "was tried in a sandbox and failed (1)" in str(
        (await open_sandbox(Settings.load({}, dotenv={}))).unavailable
    )
