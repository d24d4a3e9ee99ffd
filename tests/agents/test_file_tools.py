"""The tools that work on a project's files, as a model uses them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jsonschema
import pytest

from services.agents.tools.matching import Matching
from services.agents.tools.tool import MOST_OUTPUT, Tool, ToolFailed
from services.agents.workspaces.patience import Patience
from tests.agents.desk import Desk

RISKS = {
    "list_directory": "read",
    "read_file": "read",
    "search_files": "read",
    "write_file": "write",
    "edit_file": "write",
}
POEM = "def poem():\n    words = 3\n    return words\n\n\nprint(poem())\n"


@pytest.fixture
async def desk(tmp_path: Path) -> Desk:
    return await Desk.of(tmp_path / "workspaces")


def test_tools_say_what_they_are(desk: Desk) -> None:
    tools: list[Tool] = list(desk.tools.values())
    assert {tool.spec.name: tool.spec.risk for tool in tools} == RISKS
    for tool in tools:
        jsonschema.Draft202012Validator.check_schema(dict(tool.spec.parameters))
        assert tool.spec.parameters["additionalProperties"] is False
        assert tool.unavailable is None


# list_directory


async def test_listing_shows_kinds_and_sizes_by_name(desk: Desk) -> None:
    desk.put("src/deep/er/file.py", "x")
    desk.put("src/app.py", "x" * 1_234)
    desk.put("b.txt", "x")
    (desk.folder / "a").symlink_to("/etc")
    os.mkfifo(desk.folder / "pipe")
    assert await desk.text("list_directory") == ("a  link, not followed\nb.txt  1 byte\npipe  no regular file\nsrc/")
    assert await desk.text("list_directory", path="src/", depth=2.0) == (
        "src/app.py  1,234 bytes\nsrc/deep/\nsrc/deep/er/"
    )
    (desk.folder / "empty").mkdir()
    assert await desk.text("list_directory", path="empty") == "`empty` is empty."


async def test_listing_does_not_enter_what_nobody_wrote_unless_it_is_asked_to(desk: Desk) -> None:
    desk.put("node_modules/left/pad.js")
    desk.put("src/__pycache__/a.pyc")
    assert await desk.text("list_directory", depth=5) == "node_modules/\nsrc/\nsrc/__pycache__/"
    assert await desk.text("list_directory", path="node_modules", depth=2) == (
        "node_modules/left/\nnode_modules/left/pad.js  0 bytes"
    )


async def test_long_listing_is_cut_with_a_note(desk: Desk) -> None:
    for number in range(600):
        desk.put(f"{number:03}.txt")
    output = await desk.call("list_directory")
    lines = output.text.splitlines()
    assert output.truncated
    assert (len(lines), lines[499]) == (501, "499.txt  0 bytes")
    assert lines[500] == "[100 more are left out: list a folder of these, or less deep]"


async def test_name_that_would_forge_a_line_is_shown_escaped(desk: Desk) -> None:
    desk.put("a\nb.txt  5 bytes")
    desk.put("c\u202etxt.exe")
    (desk.folder / os.fsdecode(b"d\xff")).write_text("")
    assert (await desk.text("list_directory")).splitlines() == [
        "a\\nb.txt  5 bytes  0 bytes",
        "c\\u202etxt.exe  0 bytes",
        "d\\udcff  0 bytes",
    ]


# read_file


async def test_lines_come_with_their_numbers(desk: Desk) -> None:
    desk.put("a.txt", "one\n\nthree")
    assert await desk.text("read_file", path="a.txt") == "     1\tone\n     2\t\n     3\tthree"
    assert await desk.text("read_file", path="a.txt", first_line=2.0, lines=1.0) == (
        "     2\t\n[lines 2 to 2 of 3; read on with first_line=3]"
    )
    assert await desk.text("read_file", path="a.txt", first_line=3) == "     3\tthree\n[lines 3 to 3 of 3]"
    assert await desk.failure("read_file", path="a.txt", first_line=4) == "`a.txt` has 3 lines: there is no line 4."
    desk.put("empty.txt", "")
    assert await desk.text("read_file", path="empty.txt") == "`empty.txt` is empty."


async def test_long_file_is_read_in_parts_that_leave_nothing_out(desk: Desk) -> None:
    lines = [f"line {number} " + "x" * 40 for number in range(1, 901)]
    desk.put("long.txt", "\n".join(lines) + "\n")
    read: list[str] = []
    while len(read) < 900:
        output = await desk.call("read_file", path="long.txt", first_line=len(read) + 1)
        *numbered, note = output.text.splitlines()
        read += [each.partition("\t")[2] for each in numbered]
        assert output.truncated == (len(read) < 900)
        assert (f"read on with first_line={len(read) + 1}]" in note) == (len(read) < 900)
    assert read == lines


async def test_long_line_is_cut_with_the_number_of_what_is_left_out(desk: Desk) -> None:
    desk.put("long.txt", "x" * 5_000)
    output = await desk.call("read_file", path="long.txt")
    assert output.truncated
    assert output.text == f"     1\t{'x' * 1_000} … [4,000 more characters]"


async def test_reader_hears_what_a_file_is(desk: Desk) -> None:
    desk.put("dos.txt", "\ufeffone\r\ntwo\r\n")
    assert await desk.text("read_file", path="dos.txt") == "     1\tone\n     2\ttwo\n[its lines end with CR LF]"
    desk.put("latin.txt", b"caf\xe9\n")
    assert (await desk.text("read_file", path="latin.txt")).startswith("     1\tcaf�\n[not all of it is UTF-8")
    desk.put("a.png", b"\x89PNG\0")
    assert await desk.failure("read_file", path="a.png") == "`a.png` is binary (5 bytes), and cannot be read as text."
    assert "does not exist" in await desk.failure("read_file", path="absent")


# write_file


async def test_file_is_made_with_its_folders_and_then_replaced(desk: Desk) -> None:
    assert await desk.text("write_file", path="a/b/c.txt", content="é\n") == "Made `a/b/c.txt`: 3 bytes."
    assert await desk.text("write_file", path="a/b/c.txt", content="") == "Replaced `a/b/c.txt`: 0 bytes."
    assert (desk.folder / "a/b/c.txt").read_bytes() == b""
    assert [path.name for path in (desk.folder / "a/b").iterdir()] == ["c.txt"]


# edit_file


async def test_edit_replaces_one_text_and_shows_the_difference(desk: Desk) -> None:
    desk.put("poem.py", POEM)
    told = await desk.text("edit_file", path="poem.py", old_text="words = 3", new_text="words = 4\n    words += 1")
    assert told == (
        "Changed `poem.py`:\n@@ -1,5 +1,6 @@\n def poem():\n-    words = 3\n+    words = 4\n+    words += 1\n"
        "     return words\n \n "
    )
    assert (desk.folder / "poem.py").read_text() == POEM.replace("words = 3", "words = 4\n    words += 1")


async def test_edit_of_the_last_line_shows_no_line_behind_it(desk: Desk) -> None:
    desk.put("a.txt", "one\ntwo\n")
    told = await desk.text("edit_file", path="a.txt", old_text="two\n", new_text="")
    assert told == "Changed `a.txt`:\n@@ -1,2 +1,1 @@\n one\n-two"


async def test_text_that_is_there_more_than_once_is_replaced_where_it_is_asked_to(desk: Desk) -> None:
    desk.put("a.txt", "\n".join(["x = 1", *("" for _ in range(20)), "x = 1", "x = 1", "end"]))
    said = await desk.failure("edit_file", path="a.txt", old_text="x = 1", new_text="y")
    assert said.startswith("old_text is 3 times in `a.txt`, at lines 1, 22, 23:")
    assert (desk.folder / "a.txt").read_text().count("x = 1") == 3
    told = await desk.text("edit_file", path="a.txt", old_text="x = 1", new_text="y\nz", replace_all=True)
    assert told.startswith("Changed `a.txt` in 3 places:\n@@ -1,4 +1,5 @@\n-x = 1\n+y\n+z\n")
    assert "\n@@ -19,6 +20,8 @@\n" in told
    assert (desk.folder / "a.txt").read_text() == "\n".join(["y\nz", *("" for _ in range(20)), "y\nz", "y\nz", "end"])


@pytest.mark.parametrize(
    ("old", "hint"),
    [
        ("return wrods", "The nearest line is another: line 3 of the file is `    return words`."),
        ("\treturn words", "White space or the lines around it differ: line 3 of the file is `    return words`."),
        ("     2\t    words = 3", "It begins with line numbers, as read_file shows them: leave them out."),
        ("Lorem ipsum dolor sit amet", "No line of it is like one of old_text: read the file again."),
        (" \n ", "No line of it is like one of old_text: read the file again."),
    ],
    ids=["another word", "another indentation", "line numbers", "nothing like it", "white space"],
)
async def test_text_that_is_not_there_is_refused_with_a_hint(desk: Desk, old: str, hint: str) -> None:
    desk.put("poem.py", POEM)
    said = await desk.failure("edit_file", path="poem.py", old_text=old, new_text="")
    assert said.startswith(f"old_text is not in `poem.py`. {hint}")
    assert (desk.folder / "poem.py").read_text() == POEM


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        (b"a\r\nb\r\nc\r\n", "a\nb", "x\ny\nz", b"x\r\ny\r\nz\r\nc\r\n"),
        (b"a\r\nb\r\nc\r\n", "a\r\nb", "x\r\ny", b"x\r\ny\r\nc\r\n"),
        (b"a\nb\nc\n", "a\r\nb", "x\r\ny", b"x\ny\nc\n"),
        (b"a\r\nb\nc\n", "a\r\nb", "x\ny", b"x\ny\nc\n"),
        (b"\xef\xbb\xbfa\r\nb", "a\n", "", b"\xef\xbb\xbfb"),
        (b"a\r\r\nb\r\n", "b", "c", b"a\r\r\nc\r\n"),
    ],
    ids=["LF in CRLF", "CRLF in CRLF", "CRLF in LF", "mixed", "byte order mark", "stray CR"],
)
async def test_file_keeps_its_line_ends(desk: Desk, before: bytes, old: str, new: str, after: bytes) -> None:
    desk.put("a.txt", before)
    await desk.text("edit_file", path="a.txt", old_text=old, new_text=new)
    assert (desk.folder / "a.txt").read_bytes() == after


@pytest.mark.parametrize(
    ("content", "old", "new", "says"),
    [
        (b"caf\xe9 a", "a", "b", "not UTF-8"),
        (b"\0a", "a", "b", "is binary"),
        (b"a", "a", "a", "are the same"),
        (b"a", "a", "\0", "NUL characters"),
    ],
    ids=["not UTF-8", "binary", "no change", "NUL"],
)
async def test_edit_that_would_do_harm_or_nothing_is_refused(
    desk: Desk, content: bytes, old: str, new: str, says: str
) -> None:
    desk.put("file", content)
    assert says in await desk.failure("edit_file", path="file", old_text=old, new_text=new)
    assert (desk.folder / "file").read_bytes() == content


async def test_large_difference_is_cut(desk: Desk) -> None:
    desk.put("a.txt", "x = 1\n" * 20_000)
    output = await desk.call("edit_file", path="a.txt", old_text="x = 1", new_text="y = 2", replace_all=True)
    assert output.truncated
    assert output.text.startswith("Changed `a.txt` in 20000 places:\n@@ -1,20000 +1,20000 @@\n-x = 1\n")
    assert (desk.folder / "a.txt").read_text() == "y = 2\n" * 20_000


# search_files


async def test_search_finds_lines_in_all_files_or_in_those_that_are_asked_for(desk: Desk) -> None:
    desk.put("src/a.py", "import os\nprint(os.x)\r\n")
    desk.put("src/b.txt", "os.x\n")
    desk.put("c.py", "os-x\n")
    desk.put(".git/a.py", "os.x\n")
    desk.put("a.png", b"os.x\0")
    for arguments, lines in (
        ({"pattern": "os.x"}, ["src/a.py:2: print(os.x)", "src/b.txt:1: os.x"]),
        ({"pattern": "os.x", "regex": True}, ["c.py:1: os-x", "src/a.py:2: print(os.x)", "src/b.txt:1: os.x"]),
        ({"pattern": "(?i)^IMPORT", "regex": True}, ["src/a.py:1: import os"]),
        ({"pattern": r"x\)$", "regex": True}, ["src/a.py:2: print(os.x)"]),
        ({"pattern": "os.x", "files": "*.py"}, ["src/a.py:2: print(os.x)"]),
        ({"pattern": "os", "files": "**/*.py"}, ["c.py:1: os-x", "src/a.py:1: import os", "src/a.py:2: print(os.x)"]),
        ({"pattern": "os.x", "files": "src/*.txt"}, ["src/b.txt:1: os.x"]),
        ({"pattern": "os.x", "path": "src/b.txt"}, ["src/b.txt:1: os.x"]),
        ({"pattern": "os.x", "path": ".git"}, [".git/a.py:1: os.x"]),
    ):
        first, *rest = (await desk.text("search_files", **arguments)).splitlines()
        assert [each for each in rest if not each.startswith("[")] == lines, arguments
        assert first == f"Matching lines: {len(lines)}, in files: {len({each.split(':')[0] for each in lines})}."
    told = await desk.text("search_files", pattern="absent", files="*.{py,txt}")
    assert told == "`absent` is in no line of 0 files whose names fit `*.{py,txt}`."


async def test_search_shows_the_part_of_a_long_line_that_matches(desk: Desk) -> None:
    desk.put("long.txt", "x" * 5_000 + "here" + "y" * 5_000)
    told = await desk.text("search_files", pattern="here")
    assert "xhere" in told
    assert len(told) < 500


async def test_search_that_finds_too_much_says_so(desk: Desk) -> None:
    desk.put("a.txt", "x\n" * 300)
    output = await desk.call("search_files", pattern="x")
    assert output.truncated
    assert output.text.startswith("Matching lines: 200, in files: 1.\na.txt:1: x\n")
    assert output.text.endswith("\n[there are more: search for something rarer, or in a folder, or set `files`]")
    desk.put("a.txt", ("x" * 250 + "\n") * 100)
    assert MOST_OUTPUT - 1_000 < len((await desk.call("search_files", pattern="x")).text) <= MOST_OUTPUT


async def test_expression_that_takes_for_ever_is_ended_with_its_process(tmp_path: Path) -> None:
    desk = await Desk.of(tmp_path / "workspaces", seconds=0.3)
    desk.put("a.txt", "a" * 60 + "b")
    assert "takes too long" in await desk.failure("search_files", pattern="(a+)+$", regex=True)
    assert children() == []


async def test_what_was_found_before_time_was_over_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def once(pattern: str, patience: Patience) -> Iterator[Matching]:
        def match(data: bytes) -> list[tuple[int, int]]:
            if data == b"second":
                patience.end()
            patience.check()
            return [(0, 0)]

        yield match

    monkeypatch.setattr("services.agents.tools.search_files.matching", once)
    desk.put("a.txt", "first")
    desk.put("b.txt", "second")
    output = await desk.call("search_files", pattern="x", regex=True)
    assert output.truncated
    assert output.text.startswith("Matching lines: 1, in files: 1.\na.txt:1: first\n[time was over")


async def test_expression_that_takes_all_memory_is_ended(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.agents.tools.matching._CHILD_BYTES", 128 << 20)
    desk.put("a.txt", "ab" * (1 << 18))
    pattern = "^(((((((((a)))))))|(b))*?)*c"
    assert "too much time or memory" in await desk.failure("search_files", pattern=pattern, regex=True)
    assert children() == []


async def test_expression_is_tried_without_what_the_server_knows(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONSTARTUP", "x")
    monkeypatch.setattr("services.agents.tools.matching._CHILD", tmp_path / "child.py")
    (tmp_path / "child.py").write_text(
        "import json, os\n"
        "input()\n"
        "print(json.dumps({'error': repr((sorted({*os.environ} - {'LC_CTYPE'}), os.getcwd()))}), flush=True)\n"
    )
    assert "([], '/')" in await desk.failure("search_files", pattern="x", regex=True)


def children() -> list[str]:
    """Processes of this one's that run the matcher."""
    running = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, status = (process / "cmdline").read_text(), (process / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if "matching_child" in command and status.rpartition(")")[2].split()[1] == str(os.getpid()):
            running.append(command)
    return running


async def test_arguments_that_do_not_fit_are_not_taken(desk: Desk) -> None:
    for tool, arguments in (
        ("list_directory", {"depth": 6}),
        ("list_directory", {"path": ""}),
        ("read_file", {"path": "a", "first_line": 0}),
        ("read_file", {}),
        ("write_file", {"path": "a", "content": "b", "mode": 0o777}),
        ("edit_file", {"path": "a", "old_text": "", "new_text": "b"}),
        ("search_files", {"pattern": "x" * 1_001}),
    ):
        with pytest.raises(jsonschema.ValidationError):
            await desk.failure(tool, **arguments)
    with pytest.raises(ToolFailed):
        await desk.call("list_directory", path="")
