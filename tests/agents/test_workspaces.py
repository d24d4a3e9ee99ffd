"""The folders of projects: made, shared with commands, bounded, and gone for good with their projects."""

import asyncio
import os
import signal
import stat
import sys
import threading
import time
from pathlib import Path

import pytest

from services.agents.agent import Owner
from services.agents.tools.tool import ToolFailed
from services.agents.workspaces import folders, workspaces
from services.agents.workspaces.patience import Patience
from services.agents.workspaces.workspace import Workspace
from services.agents.workspaces.workspaces import Workspaces
from tests.agents.calls import serving
from tests.agents.desk import TEN_MIB, Desk, new_owner, tree

OWNER = new_owner()
PLAIN = "a0b1c2d3-0000-4000-8000-00000000abcd"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "workspaces"


@pytest.fixture
async def desk(root: Path) -> Desk:
    return await Desk.of(root)


# Where they are


@pytest.mark.parametrize(
    "name",
    ["..", ".", "", "a/b", "../../x", "x\0", PLAIN.upper(), f"{{{PLAIN}}}", PLAIN.replace("-", "")],
    ids=["up", "here", "none", "path", "way up", "NUL", "upper case", "braces", "without hyphens"],
)
async def test_what_is_no_canonical_uuid_names_no_folder(tmp_path: Path, root: Path, name: str) -> None:
    for owner in (Owner(name, OWNER.project_id), Owner(OWNER.user_id, name)):
        for does in (Workspaces(root, TEN_MIB).folder, Workspaces(root, TEN_MIB).remove):
            with pytest.raises(ValueError, match=r"UUID|badly formed"):
                await does(owner)
    assert tree(tmp_path).keys() <= {str(root), str(root / OWNER.user_id)}


async def test_folder_is_made_on_first_use_for_the_server_alone(tmp_path: Path, root: Path) -> None:
    projects = Workspaces(root, TEN_MIB)
    assert tree(tmp_path) == {}
    folder = await projects.folder(OWNER)
    assert folder == root / OWNER.user_id / OWNER.project_id
    assert [stat.S_IMODE(each.stat().st_mode) for each in (root, folder.parent, folder)] == [0o700] * 3
    assert await projects.folder(OWNER) == folder


async def test_place_that_is_a_link_is_no_folder(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / OWNER.user_id).mkdir(parents=True)
    (root / OWNER.user_id / OWNER.project_id).symlink_to(elsewhere)
    with pytest.raises(ToolFailed):
        await Workspaces(root, TEN_MIB).folder(OWNER)


async def test_files_belong_to_the_user_that_commands_run_as(root: Path) -> None:
    # Who is not root gives files to nobody but itself.
    user = 54_321 if os.geteuid() == 0 else os.geteuid()
    projects = Workspaces(root, TEN_MIB, given_to=user)
    folder = await projects.folder(OWNER)
    await projects.use(OWNER, lambda files: files.write("a/b/new.txt", b"new"))
    (folder / "made").write_text("by a command")
    (folder / "made").chmod(0o640)
    os.chown(folder / "made", user, user)
    await projects.use(OWNER, lambda files: files.write("made", b"by a tool"))
    for name in (".", "a", "a/b", "a/b/new.txt", "made"):
        assert ((folder / name).stat().st_uid, (folder / name).stat().st_gid) == (user, user)
    assert folder.parent.stat().st_uid == os.geteuid()


async def test_folder_that_a_command_closed_is_opened_again(desk: Desk) -> None:
    desk.put("file", "x")
    desk.folder.chmod(0)
    assert await desk.text("list_directory") == "file  1 byte"
    assert stat.S_IMODE(desk.folder.stat().st_mode) == 0o700


# Writing


async def test_file_that_is_replaced_keeps_its_mode_without_what_is_dangerous(desk: Desk) -> None:
    desk.put("run.sh", "old").chmod(0o6755)
    await desk.text("write_file", path="run.sh", content="new")
    await desk.text("write_file", path="new.sh", content="new")
    modes = [stat.S_IMODE((desk.folder / name).stat().st_mode) for name in ("run.sh", "new.sh")]
    assert modes == [0o755, 0o644]


async def test_reader_sees_the_old_file_or_the_new_one(desk: Desk) -> None:
    versions = {letter * 300_000 for letter in "ab"}
    desk.put("file", "a" * 300_000)
    over = threading.Event()

    def read() -> set[str]:
        seen = set()
        while not over.is_set():
            seen.add((desk.folder / "file").read_text())
        return seen

    reading = asyncio.create_task(asyncio.to_thread(read))
    try:
        for _ in range(10):
            for version in sorted(versions):
                await desk.workspaces.use(desk.owner, lambda files, data=version: files.write("file", data.encode()))
    finally:
        over.set()
    assert await reading <= versions


async def test_edits_at_once_of_one_file_are_all_in_it(desk: Desk) -> None:
    desk.put("list.txt", "end\n")
    names = [f"line {number}" for number in range(20)]
    edits = (desk.text("edit_file", path="list.txt", old_text="end", new_text=f"{name}\nend") for name in names)
    await asyncio.gather(*edits)
    assert sorted((desk.folder / "list.txt").read_text().splitlines()) == sorted([*names, "end"])


async def test_file_that_another_replica_changed_since_it_was_read_is_not_replaced(desk: Desk) -> None:
    desk.put("file", "one")
    other = Workspaces(desk.folder.parent.parent, TEN_MIB)

    def edit(files: Workspace) -> None:
        read = files.read("file")
        asyncio.run(other.use(desk.owner, lambda theirs: theirs.write("file", b"two")))
        files.write("file", b"three", instead_of=read)

    with pytest.raises(ToolFailed, match="changed by somebody else"):
        await desk.workspaces.use(desk.owner, edit)
    assert (desk.folder / "file").read_text() == "two"


async def test_however_much_one_user_asks_for_another_gets_a_turn(desk: Desk) -> None:
    go_on = threading.Event()
    first = [asyncio.create_task(desk.workspaces.use(desk.owner, lambda files: go_on.wait(8))) for _ in range(9)]
    await asyncio.sleep(0)
    try:
        assert not await desk.workspaces.use(new_owner(), lambda files: go_on.is_set())
    finally:
        go_on.set()
    assert all(await asyncio.gather(*first))


async def test_call_that_is_cancelled_writes_nothing_any_more(desk: Desk) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def write(files: Workspace) -> None:
        begun.set()
        go_on.wait(30)
        files.write("file", b"late")

    writing = asyncio.create_task(desk.workspaces.use(desk.owner, write, alone=True))
    await asyncio.to_thread(begun.wait, 30)
    writing.cancel()
    # It waits for its thread, which may go on only after it has heard of the end.
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert list(desk.folder.iterdir()) == []
    await desk.text("write_file", path="file", content="in time")


_KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from services.agents.agent import Owner
from services.agents.workspaces.workspaces import Workspaces

os.rename = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
projects = Workspaces(Path(sys.argv[1]), 10 << 20)
asyncio.run(projects.use(Owner(*sys.argv[2:]), lambda files: files.write("a/file", b"half")))
"""


async def test_what_a_killed_write_leaves_is_seen_by_nobody_and_swept_when_no_write_can_be_under_way(
    root: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = (desk.owner.user_id, desk.owner.project_id)
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", _KILLED, str(root), *owner)
    assert await killed.wait() == -signal.SIGKILL
    [left] = set(desk.folder.parent.iterdir()) - {desk.folder}
    assert left.read_bytes() == b"half"
    assert await desk.text("list_directory", depth=5) == "a/"
    assert await desk.text("search_files", pattern="half") == "`half` is in no line of 0 files."
    # Of a write that is under way in another process no more can be seen.
    await desk.workspaces.sweep()
    assert left.exists()
    monkeypatch.setattr(workspaces, "UNFINISHED_KEPT", -60.0)
    await desk.workspaces.sweep()
    assert list(desk.folder.parent.iterdir()) == [desk.folder]


# What fits


async def test_file_that_does_not_fit_is_not_written(root: Path) -> None:
    desk = await Desk.of(root, most_bytes=40_000)
    await desk.text("write_file", path="first", content="x" * 20_000)
    said = await desk.failure("write_file", path="second", content="x" * 20_000)
    assert said.startswith("The workspace is full: its files take 20,480 of 40,000 bytes")
    assert [path.name for path in desk.folder.iterdir()] == ["first"]
    (desk.folder / "first").unlink()
    await desk.text("write_file", path="second", content="x" * 20_000)


async def test_full_workspace_takes_what_replaces_as_much_and_nothing_that_grows(root: Path) -> None:
    desk = await Desk.of(root, most_bytes=40_000)
    for name in ("first", "folder/second"):
        await desk.text("write_file", path=name, content="x" * 10_000)
    with (desk.folder / "hole").open("wb") as file:
        file.truncate(1 << 19)
    desk.put("full", "x" * 24_000)
    for name in ("first", "folder/second"):
        await desk.text("write_file", path=name, content="y" * 12_288)
        assert (desk.folder / name).read_text() == "y" * 12_288
        assert "is full" in await desk.failure("write_file", path=name, content="z" * 12_289)
    await desk.text("edit_file", path="first", old_text="y" * 12_288, new_text="")
    for name in ("hole", "first", "third", "folder/third", "new/third"):
        assert "is full" in await desk.failure("write_file", path=name, content="z")
    assert not (desk.folder / "new").exists()


async def test_bytes_are_counted_as_the_disk_does(desk: Desk) -> None:
    await desk.text("write_file", path="a/file", content="x" * 10_000)
    with (desk.folder / "hole").open("wb") as file:
        file.truncate(1 << 40)
    (desk.folder / "again").hardlink_to(desk.folder / "a/file")
    folder = (desk.folder / "a").stat().st_blocks * 512
    assert await desk.workspaces.used_bytes(desk.owner) == 12_288 + folder


@pytest.mark.parametrize("deep", [False, True], ids=["many", "deep"])
async def test_workspace_with_too_much_in_it_takes_no_more(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, deep: bool
) -> None:
    monkeypatch.setattr(folders, "MOST_ENTRIES", 50)
    monkeypatch.setattr("services.agents.workspaces.workspace.MOST_ENTRIES", 50)
    if deep:
        _nest(desk.folder, folders.MOST_COUNTED_DEPTH)
    else:
        for number in range(50):
            desk.put(f"{number}.txt")
    assert "The workspace is full: it may have 50 files" in await desk.failure("write_file", path="x", content="")
    for number in range(3):
        desk.put(f"more-{number}.txt")
    assert await desk.workspaces.used_bytes(desk.owner) > TEN_MIB


# Their end


def _nest(folder: Path, depth: int) -> None:
    """Make folders in one another, by descriptors: their path is too long for any call."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=at)
        inner = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(os.open("bottom", os.O_WRONLY | os.O_CREAT, dir_fd=at))
    os.close(at)


async def test_all_of_a_folder_is_removed_and_nothing_that_links_lead_to(tmp_path: Path, desk: Desk) -> None:
    outside, other = tmp_path / "outside", await Desk.of(tmp_path / "workspaces", new_owner())
    outside.mkdir()
    for folder in (outside, other.folder):
        (folder / "file").write_text("stays")
    desk.put("a/b/c/file", "goes")
    (desk.folder / "link").symlink_to(outside)
    (desk.folder / "a/link").symlink_to(outside / "file")
    (desk.folder / "a/hard").hardlink_to(outside / "file")
    os.mkfifo(desk.folder / "a/b/pipe")
    # Deeper than calls of functions, or open files, may go.
    _nest(desk.folder, 1_100)
    desk.put("closed/inner/file").parent.chmod(0)
    (desk.folder / "closed").chmod(0)
    before = tree(tmp_path, without=desk.folder.parent), tree(other.folder)
    await desk.workspaces.remove(desk.owner)
    assert (tree(tmp_path, without=desk.folder.parent), tree(other.folder)) == before
    assert [path.name for path in desk.folder.parent.iterdir()] == [desk.owner.project_id]
    assert desk.folder.stat().st_size == 0
    assert desk.folder.is_file()


async def test_removed_workspace_does_not_come_back_whoever_writes(root: Path, desk: Desk) -> None:
    await desk.workspaces.remove(desk.owner)
    await desk.workspaces.remove(desk.owner)
    for each in (desk, Desk(Workspaces(root, TEN_MIB), desk.owner, desk.folder)):
        assert "project was deleted" in await each.failure("write_file", path="late.txt", content="late")
        with pytest.raises(ToolFailed, match="project was deleted"):
            await each.workspaces.folder(desk.owner)
    assert desk.folder.is_file()


async def test_workspace_that_never_was_does_not_come_to_be_after_its_deletion(root: Path) -> None:
    projects = Workspaces(root, TEN_MIB)
    await projects.remove(OWNER)
    with pytest.raises(ToolFailed, match="project was deleted"):
        await projects.folder(OWNER)


async def test_call_that_runs_while_its_project_is_deleted_leaves_nothing(root: Path, desk: Desk) -> None:
    desk.put("a/file", "old")
    begun, go_on = threading.Event(), threading.Event()

    def write(files: Workspace) -> None:
        begun.set()
        go_on.wait(30)
        files.write("a/new", b"late")

    writing = asyncio.create_task(desk.workspaces.use(desk.owner, write, alone=True))
    await asyncio.to_thread(begun.wait, 30)
    await desk.workspaces.remove(desk.owner)
    go_on.set()
    with pytest.raises(ToolFailed):
        await writing
    assert tree(root).keys() == {str(desk.folder.parent), str(desk.folder)}


async def test_what_a_removal_left_is_swept(root: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    living = await Desk.of(root, Owner(desk.owner.user_id, new_owner().project_id))
    for each in (desk, living):
        each.put("a/b/file", "x")
    with monkeypatch.context() as patched:
        patched.setattr(workspaces, "REMOVING_SECONDS", 0.0)
        await desk.workspaces.remove(desk.owner)
    assert len(list(desk.folder.parent.iterdir())) == 3
    (root / "a file of somebody's").write_text("")
    await Workspaces(root, TEN_MIB).sweep()
    assert set(desk.folder.parent.iterdir()) == {desk.folder, living.folder}
    assert (living.folder / "a/b/file").read_text() == "x"


async def test_place_of_a_deleted_project_is_free_again_when_nothing_can_be_late(root: Path, desk: Desk) -> None:
    young = await Desk.of(root)
    for each in (desk, young):
        await each.workspaces.remove(each.owner)
    long_ago = time.time() - workspaces.TOMBSTONES_KEPT - 60
    os.utime(desk.folder, (long_ago, long_ago))
    await desk.workspaces.sweep()
    assert not desk.folder.exists()
    assert young.folder.is_file()


async def test_sweep_of_no_workspaces_does_nothing(tmp_path: Path, root: Path) -> None:
    await Workspaces(root, TEN_MIB).sweep()
    assert tree(tmp_path) == {}


async def test_deleting_a_project_removes_its_files_and_no_others(tmp_path: Path) -> None:
    async with serving(tmp_path) as agents:
        user = agents.user()
        kept, gone = [Owner(user.id, new_owner().project_id), Owner(user.id, user.project_id)]
        for owner in (kept, gone):
            await agents.create_space(user, owner.project_id)
            folder = tmp_path / "workspaces" / owner.user_id / owner.project_id
            folder.mkdir(parents=True)
            (folder / "file").write_text("x")
        await agents.delete_space(user)
        assert folder.is_file()
        assert [path.name for path in folder.parent.rglob("file")] == ["file"]


def test_patience_that_was_ended_has_nothing_left() -> None:
    patience = Patience(60)
    patience.check()
    patience.end()
    assert patience.left == 0
    with pytest.raises(ToolFailed, match="longer than 60 seconds"):
        patience.check()
