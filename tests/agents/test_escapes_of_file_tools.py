"""No tool that works on files gets out of its project's folder, whatever is in it and becomes of it meanwhile."""

import asyncio
import os
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.agents.tools.tool import ToolFailed
from services.agents.workspaces import workspace
from tests.agents.desk import Desk, new_owner, tree
from tests.agents.escapes import CONTENT, ESCAPES, SECRET, Escape, Scene


@pytest.fixture
async def scene(tmp_path: Path) -> Scene:
    root = tmp_path / "workspaces"
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text(CONTENT)
    desk = await Desk.of(root)
    neighbour = Desk(desk.workspaces, new_owner(), desk.folder)
    owner = type(desk.owner)(desk.owner.user_id, neighbour.owner.project_id)
    neighbour, stranger = await Desk.of(root, owner), await Desk.of(root)
    for other in (neighbour, stranger):
        other.put("mine.txt", CONTENT)
    return Scene(desk, neighbour, stranger, outside)


def filled(scene: Scene, arguments: Any) -> dict[str, Any]:
    places = {
        "{outside}": str(scene.outside / "secret.txt"),
        "{own}": str(scene.folder / "plain.txt"),
        "{up}": scene.up(scene.outside / "secret.txt"),
        "{project}": scene.neighbour.owner.project_id,
        "{stranger}": scene.up(scene.stranger.folder / "mine.txt"),
    }
    values = dict(arguments)
    for name, place in places.items():
        if "path" in values:
            values["path"] = values["path"].replace(name, place)
    return values


@pytest.mark.parametrize("escape", ESCAPES, ids=[each.id for each in ESCAPES])
async def test_nothing_gets_out(tmp_path: Path, scene: Scene, escape: Escape) -> None:
    escape.prepare(scene)
    before = tree(tmp_path, without=scene.folder)
    told = await scene.desk.outcome(escape.tool, escape.fails, **filled(scene, escape.arguments))
    assert re.search(escape.says, told, re.MULTILINE), told
    assert SECRET not in told
    assert tree(tmp_path, without=scene.folder) == before
    assert not list(scene.folder.parent.rglob(f"{workspace.UNFINISHED}*"))


def test_every_tool_is_tried_by_a_name_of_its_own() -> None:
    assert len(ESCAPES) >= 45
    assert len({each.id for each in ESCAPES}) == len(ESCAPES)
    assert {each.tool for each in ESCAPES} == {
        "list_directory", "read_file", "write_file", "edit_file", "search_files",
    }  # fmt: skip


# What is exchanged during a call


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("list_directory", {"path": "there", "depth": 3}),
        ("read_file", {"path": "there/secret.txt"}),
        ("write_file", {"path": "there/secret.txt", "content": "CANARY = 'overwritten'\n"}),
        ("write_file", {"path": "there/new/file", "content": "made"}),
        ("edit_file", {"path": "there/secret.txt", "old_text": "CANARY", "new_text": "CANARY"[::-1]}),
        ("search_files", {"pattern": "CANARY"}),
        ("search_files", {"path": "there", "pattern": "CANARY", "files": "*.txt"}),
    ],
    ids=["list", "read", "write", "make", "edit", "search", "search there"],
)
async def test_folder_that_becomes_a_link_again_and_again_leads_nowhere(
    tmp_path: Path, scene: Scene, tool: str, arguments: dict[str, Any]
) -> None:
    folder, link, there = (scene.folder / name for name in ("folder", "link", "there"))
    scene.desk.put("folder/secret.txt", "CANARY = 'inside'\n")
    link.symlink_to(scene.outside)
    (scene.outside / "unlisted-name").write_text(CONTENT)
    before = tree(tmp_path, without=scene.folder)
    over = threading.Event()

    def exchange() -> None:
        while not over.is_set():
            for each in (folder, link):
                try:
                    each.rename(there)
                except OSError:
                    # The tool made a folder of that name while there was none.
                    shutil.rmtree(there, ignore_errors=True)
                else:
                    there.rename(each)

    exchanging = asyncio.create_task(asyncio.to_thread(exchange))
    try:
        for _ in range(60):
            try:
                told = (await scene.desk.call(tool, **arguments)).text
            except ToolFailed as failed:
                told = str(failed)
            assert SECRET not in told
            assert "unlisted-name" not in told
    finally:
        over.set()
        await exchanging
    assert tree(tmp_path, without=scene.folder) == before


Exchange = Callable[[Scene], object]


def _to_link(scene: Scene) -> None:
    (scene.folder / "file.txt").unlink()
    (scene.folder / "file.txt").symlink_to(scene.outside / "secret.txt")


def _to_hard_link(scene: Scene) -> None:
    (scene.folder / "file.txt").unlink()
    (scene.folder / "file.txt").hardlink_to(scene.outside / "secret.txt")


def _to_pipe(scene: Scene) -> None:
    (scene.folder / "file.txt").unlink()
    os.mkfifo(scene.folder / "file.txt")


@pytest.mark.parametrize(
    ("exchange", "says"),
    [(_to_link, "is a link"), (_to_hard_link, "more than one name"), (_to_pipe, "no regular file")],
    ids=["link", "hard link", "pipe"],
)
async def test_file_that_is_exchanged_after_it_was_looked_at_is_not_read(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, exchange: Exchange, says: str
) -> None:
    scene.desk.put("file.txt", "inside")
    looked_at = workspace._check_regular

    def look(status: os.stat_result, path: str) -> None:
        looked_at(status, path)
        # Once: the second look is at what was opened.
        monkeypatch.setattr(workspace, "_check_regular", looked_at)
        exchange(scene)

    monkeypatch.setattr(workspace, "_check_regular", look)
    assert says in await scene.desk.failure("read_file", path="file.txt")


async def test_file_that_becomes_a_link_before_it_is_replaced_is_replaced_itself(
    tmp_path: Path, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.desk.put("file.txt", "inside")
    put = workspace.Workspace._put

    def exchanged(*arguments: Any) -> None:
        _to_link(scene)
        put(*arguments)

    monkeypatch.setattr(workspace.Workspace, "_put", exchanged)
    before = tree(tmp_path, without=scene.folder)
    await scene.desk.text("write_file", path="file.txt", content="new")
    assert tree(tmp_path, without=scene.folder) == before
    assert not (scene.folder / "file.txt").is_symlink()
    assert (scene.folder / "file.txt").read_text() == "new"


async def test_folder_that_becomes_a_link_before_its_file_is_written_keeps_the_file(
    tmp_path: Path, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.desk.put("folder/file.txt", "inside")
    put = workspace.Workspace._put

    def exchanged(*arguments: Any) -> None:
        (scene.folder / "folder").rename(scene.folder / "moved")
        (scene.folder / "folder").symlink_to(scene.outside)
        put(*arguments)

    monkeypatch.setattr(workspace.Workspace, "_put", exchanged)
    before = tree(tmp_path, without=scene.folder)
    await scene.desk.text("write_file", path="folder/file.txt", content="new")
    assert tree(tmp_path, without=scene.folder) == before
    assert (scene.folder / "moved" / "file.txt").read_text() == "new"
