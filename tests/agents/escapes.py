"""Ways out of a workspace through its tools: how each is prepared, tried, and answered."""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.agents.desk import Desk

SECRET = "kept-out-of-sight"
CONTENT = f"CANARY = '{SECRET}'\n"
"""What files outside hold: a search for CANARY finds it where it looks."""


@dataclass
class Scene:
    """A project's desk, and around it what must stay untouched: files, another project's, another user's."""

    desk: Desk
    neighbour: Desk
    stranger: Desk
    outside: Path

    @property
    def folder(self) -> Path:
        """The project's."""
        return self.desk.folder

    def up(self, target: Path) -> str:
        """The relative path from the project's folder to something outside."""
        return os.path.relpath(target, self.folder)


@dataclass(frozen=True)
class Escape:
    """An attempt. Arguments may use {outside}, {up}, {neighbour} and {stranger}: paths of a file of each."""

    name: str
    tool: str
    arguments: Mapping[str, Any]
    says: str
    """What the answer says, a regular expression."""
    prepare: Callable[[Scene], object] = lambda scene: None
    fails: bool = True

    @property
    def id(self) -> str:
        return f"{self.tool}: {self.name}"


def _arguments(tool: str, path: str) -> dict[str, Any]:
    return {
        "list_directory": {"path": path, "depth": 5},
        "read_file": {"path": path},
        "write_file": {"path": path, "content": "overwritten"},
        "edit_file": {"path": path, "old_text": "CANARY", "new_text": "overwritten"},
        "search_files": {"path": path, "pattern": "CANARY"},
    }[tool]


TOOLS = ("list_directory", "read_file", "write_file", "edit_file", "search_files")
ON_FILES = ("read_file", "write_file", "edit_file", "search_files")
LOOKING = ("list_directory", "search_files")


def _by_path(
    name: str,
    path: str,
    says: str,
    prepare: Callable[[Scene], object] = lambda scene: None,
    tools: tuple[str, ...] = TOOLS,
    fails: bool = True,
) -> Iterator[Escape]:
    for tool in tools:
        yield Escape(name, tool, _arguments(tool, path), says, prepare, fails)


def _linking(target: Callable[[Scene], object], name: str = "link") -> Callable[[Scene], object]:
    return lambda scene: (scene.folder / name).symlink_to(str(target(scene)))


def _to_socket(scene: Scene) -> None:
    folder = os.open(scene.folder, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listening:
        # A socket's path is short.
        listening.bind(f"/proc/self/fd/{folder}/special")
    os.close(folder)


def _sparse(scene: Scene) -> None:
    with (scene.folder / "huge").open("wb") as file:
        file.truncate(1 << 40)


def _can_make_devices() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        try:
            os.mknod(f"{folder}/zero", 0o20666, os.makedev(1, 5))
        except PermissionError:
            return False
        return True


def _device(scene: Scene) -> None:
    os.mknod(scene.folder / "special", 0o20666, os.makedev(1, 5))


def _plain(scene: Scene) -> None:
    scene.desk.put("plain.txt", "plain\n")


def _deep(scene: Scene) -> None:
    (scene.folder / "/".join("d" for _ in range(60))).mkdir(parents=True)


_DOTS = r"`\.\.` in it"
_LINK = "is a link"
_NONE = "does not exist"


def _paths() -> Iterator[Escape]:
    yield from _by_path("two dots", "..", _DOTS)
    yield from _by_path("up to a file", "{up}", _DOTS)
    yield from _by_path("down and up again", "a/../../b", _DOTS, lambda scene: (scene.folder / "a").mkdir())
    yield from _by_path("dots at the end", "a/..", _DOTS, tools=("list_directory", "write_file"))
    yield from _by_path("dots behind dots", "./../x", _DOTS, tools=("read_file", "write_file"))
    yield from _by_path("absolute", "{outside}", "is absolute")
    yield from _by_path("absolute, its own", "{own}", "is absolute", tools=("read_file", "write_file"))
    yield from _by_path("root", "/", "is absolute", tools=("list_directory", "search_files", "write_file"))
    yield from _by_path("two slashes", "//etc/passwd", "is absolute", tools=("read_file",))
    yield from _by_path("empty name", "a//b", "an empty name")
    yield from _by_path("NUL", "plain.txt\0.png", "no text", _plain)
    yield from _by_path("control character", "plain.txt\n", "no text", tools=("read_file", "write_file"))
    yield from _by_path("half a surrogate pair", "a\udcffb", "no text")
    yield from _by_path("long name", "n" * 256, "more than 255 bytes")
    yield from _by_path("long in bytes alone", "é" * 128, "more than 255 bytes", tools=("read_file", "write_file"))
    yield from _by_path("long path", "n/" * 600 + "n", "too long", tools=("read_file", "write_file"))
    yield from _by_path("deep path", "/".join("d" * 33), "too deep", _deep)
    yield from _by_path("another project's", "../{project}/mine.txt", _DOTS)
    yield from _by_path("another user's", "{stranger}", _DOTS)
    yield from _by_path("a URL", "file:///etc/passwd", "an empty name", tools=("read_file", "write_file"))


def _lookalikes() -> Iterator[Escape]:
    """What only looks like a way out is a name in the workspace, which is not there."""
    for name, path in (
        ("full-width dots", "．．/x"),
        ("a dot leader", "‥/x"),
        ("full-width slash", "..／x"),
        ("slash of fractions", "..⁄x"),
        ("percent", "%2e%2e/x"),
        ("percent slash", "..%2fx"),
        ("backslashes", "..\\..\\etc\\passwd"),
        ("three dots", ".../x"),
        ("a home", "~/x"),
        ("a variable", "$HOME/x"),
        ("a drive", "C:\\x"),
    ):
        yield from _by_path(name, path, _NONE, tools=("read_file",))
        yield Escape(name, "write_file", _arguments("write_file", path), "^Made", fails=False)
    yield from _by_path("another case", "PLAIN.TXT", _NONE, _plain, ("read_file", "edit_file"))
    yield from _by_path(
        "decomposed letters", "e\u0301.txt", _NONE, lambda scene: scene.desk.put("\u00e9.txt"), ("read_file",)
    )
    yield from _by_path("dots with what is not seen", ".\u200b./x", "cannot be seen", tools=("write_file",))
    yield from _by_path("right to left", "a\u202etxt.exe", "cannot be seen", tools=("write_file",))
    yield from _by_path("white space at the end", "plain.txt ", "white space", tools=("write_file",))


def _links() -> Iterator[Escape]:
    yield from _by_path("link to a file", "link", _LINK, _linking(lambda scene: scene.outside / "secret.txt"))
    yield from _by_path(
        "relative link", "link", _LINK, _linking(lambda scene: scene.up(scene.outside / "secret.txt")), ON_FILES
    )
    yield from _by_path("link to a folder", "link", _LINK, _linking(lambda scene: scene.outside))
    yield from _by_path("through a link", "link/secret.txt", _LINK, _linking(lambda scene: scene.outside))
    yield from _by_path("a new file behind a link", "link/new", _LINK, _linking(lambda scene: scene.outside))
    yield from _by_path("a new folder behind a link", "link/a/b", _LINK, _linking(lambda scene: scene.outside))
    yield from _by_path("link to the workspace", "link/plain.txt", _LINK, _linking(lambda scene: scene.folder))
    yield from _by_path("dangling link", "link", _LINK, _linking(lambda scene: scene.outside / "absent"))
    yield from _by_path("link to itself", "link", _LINK, _linking(lambda scene: "link"))
    yield from _by_path("link to the process", "link/environ", _LINK, _linking(lambda scene: "/proc/self"))
    yield from _by_path("link to the environment", "link", _LINK, _linking(lambda scene: "/proc/self/environ"))
    yield from _by_path("link to the root", "link/etc/passwd", _LINK, _linking(lambda scene: "/proc/self/root"))
    yield from _by_path("link to a descriptor", "link", _LINK, _linking(lambda scene: "/proc/self/fd/0"), ON_FILES)
    yield from _by_path("link to devices", "link/zero", _LINK, _linking(lambda scene: "/dev"))
    yield from _by_path("link to a neighbour's", "link", _LINK, _linking(lambda scene: scene.neighbour.folder))
    yield from _by_path("link to a stranger's", "link", _LINK, _linking(lambda scene: scene.stranger.folder))
    to_outside = _linking(lambda scene: scene.outside)
    yield Escape("link among the rest", "list_directory", {"depth": 5}, "^link  link, not followed$", to_outside, False)
    yield Escape("link among the rest", "search_files", {"pattern": "CANARY"}, "in no line of 0", to_outside, False)
    yield Escape(
        "link to a file among the rest",
        "search_files",
        {"pattern": "CANARY"},
        "in no line of 0",
        _linking(lambda scene: scene.outside / "secret.txt"),
        False,
    )
    hard = r"more than one name \(hard links\)"
    yield from _by_path(
        "hard link", "hard", hard, lambda s: (s.folder / "hard").hardlink_to(s.outside / "secret.txt"), ON_FILES
    )
    yield from _by_path(
        "hard link to a neighbour's",
        "hard",
        hard,
        lambda scene: (scene.folder / "hard").hardlink_to(scene.neighbour.folder / "mine.txt"),
        ON_FILES,
    )
    yield Escape(
        "hard link among the rest",
        "search_files",
        {"pattern": "CANARY"},
        "1 files were not read",
        lambda scene: (scene.folder / "hard").hardlink_to(scene.outside / "secret.txt"),
        False,
    )


def _specials() -> Iterator[Escape]:
    special = "no regular file"
    yield from _by_path("pipe", "special", special, lambda scene: os.mkfifo(scene.folder / "special"), ON_FILES)
    yield from _by_path("socket", "special", special, _to_socket, ON_FILES)
    if _can_make_devices():
        yield from _by_path("device", "special", special, _device, ON_FILES)
    for tool in LOOKING:
        yield Escape(
            "pipe among the rest",
            tool,
            {"pattern": "CANARY"} if tool == "search_files" else {},
            "in no line of 0|^special  no regular file$",
            lambda scene: os.mkfifo(scene.folder / "special"),
            False,
        )
    yield from _by_path("huge file", "huge", "too large", _sparse, ("read_file", "edit_file", "search_files"))
    yield Escape("huge file among the rest", "search_files", {"pattern": "x"}, "were not read", _sparse, False)
    yield Escape("huge content", "write_file", {"path": "x", "content": "x" * ((1 << 20) + 1)}, "too much for a file")
    yield Escape(
        "growing file",
        "edit_file",
        {"path": "plain.txt", "old_text": "a", "new_text": "b" * 100_000, "replace_all": True},
        "too large",
        lambda scene: scene.desk.put("plain.txt", "a" * 100_000),
    )
    yield from _by_path("folder as a file", "a", "is a folder", lambda s: (s.folder / "a").mkdir(), ON_FILES[:3])
    yield from _by_path("file as a folder", "plain.txt/x", "is not a folder", _plain)
    yield from _by_path("file as the folder", "plain.txt", "is not a folder", _plain, ("list_directory",))
    yield from _by_path("the workspace as a file", ".", "is the workspace itself", tools=ON_FILES[:3])
    yield Escape("deep folders", "list_directory", {"depth": 5}, "^d/d/d/d/d/$", _deep, False)
    yield Escape("deep folders", "search_files", {"pattern": "x"}, "in no line of 0", _deep, False)


def _patterns() -> Iterator[Escape]:
    """Patterns that are meant for a program's command line, another language, or the patience of the server."""
    for name, pattern in (
        ("option", "--files-with-matches"),
        ("option with a file", "-f/etc/passwd"),
        ("command", "$(touch made)`touch made`;touch made"),
        ("unfinished expression as a text", "((a+)+["),
    ):
        yield Escape(name, "search_files", {"pattern": pattern}, "in no line of 1 files", _plain, False)
    yield Escape("unfinished expression", "search_files", {"pattern": "((", "regex": True}, "no regular expression")
    yield Escape("line end", "search_files", {"pattern": "a\nb"}, "line end in it")
    yield Escape(
        "expression nested too deep",
        "search_files",
        {"pattern": "(" * 490 + ")" * 490, "regex": True},
        "no regular expression|Matching lines|too much time or memory",
        _plain,
        False,
    )
    for name, glob in (
        ("names upwards", "../*"),
        ("names upwards anywhere", "**/../*"),
        ("absolute names", "/etc/*"),
        ("unfinished class", "[!"),
        ("expression as a name", "(.*)+$"),
        ("stars", "*a" * 100),
    ):
        yield Escape(name, "search_files", {"pattern": "CANARY", "files": glob}, "in no line of 0", _plain, False)
    for name, path in (
        ("option as a path", "-rf"),
        ("option as a path in full", "--help"),
        ("a pipe", "|id"),
        ("a star", "*"),
    ):
        yield from _by_path(name, path, _NONE, tools=("read_file",))
    yield Escape(
        "expression as a text",
        "edit_file",
        {"path": "plain.txt", "old_text": ".*", "new_text": r"\g<0>"},
        "is not in",
        _plain,
    )
    yield Escape(
        "reference in the new text",
        "edit_file",
        {"path": "plain.txt", "old_text": "plain", "new_text": r"\g<0>\1 $& {0} %s"},
        r"^\+\\g<0>\\1 \$& \{0\} %s$",
        _plain,
        False,
    )
    yield Escape(
        "option as a text",
        "edit_file",
        {"path": "plain.txt", "old_text": "plain", "new_text": "--- /etc/passwd\n+++ /etc/passwd"},
        "^Changed `plain.txt`",
        _plain,
        False,
    )
    yield Escape("NUL in the content", "write_file", {"path": "x", "content": "a\0b"}, "NUL characters")
    yield Escape("half a surrogate pair in it", "write_file", {"path": "x", "content": "\ud800"}, "no text")


ESCAPES = (*_paths(), *_lookalikes(), *_links(), *_specials(), *_patterns())
