"""What stands on the screen, on a terminal and off it."""

import io
from collections.abc import Callable

import pytest
from codelab.agents.v1.memory_pb2 import Memory

from services.chat.answer import Progress
from services.chat.screen import Screen
from services.terminal import one_line, progress_bar, visible, wrapped
from tests.chat.screens import Terminal


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def shown(show: Callable[[Screen], None]) -> list[str]:
    """The lines that a terminal without colours shows."""
    out, errors = Terminal(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_COLOR", "1")
        show(Screen(out, errors))
    assert errors.getvalue() == ""
    return out.getvalue().splitlines()


def remembered(*contents: str) -> list[Memory]:
    return [Memory(content=content, score=0.714) for content in contents]


def test_memories_are_quoted_with_their_score_on_a_line_each() -> None:
    [line] = shown(lambda screen: screen.memories(remembered("Port\n6543"), ""))
    assert line == '  ↺ remembers: "Port 6543" (0.71)'


def test_three_memories_at_most_are_shown_and_none_is_wider_than_the_terminal() -> None:
    lines = shown(lambda screen: screen.memories(remembered("x" * 100, "中" * 100, "\x1b[31mred", "fourth"), ""))
    assert len(lines) == 3
    assert len(lines[0]) == 40
    assert lines[1].endswith('…" (0.71)')
    assert "\x1b" not in lines[2]
    assert shown(lambda screen: screen.memories([], "")) == []


def test_memory_that_cannot_be_searched_is_said_so() -> None:
    [line] = shown(lambda screen: screen.memories([], "MEMORY_UNAVAILABLE"))
    assert line == "  memory is out of reach: answering without it"


def test_attempt_that_begins_again_is_marked_on_a_line_of_its_own() -> None:
    def show(screen: Screen) -> None:
        screen.progress(Progress("The first att"))
        screen.progress(Progress("The second.", begins_again=True))
        screen.answered("The second.")

    assert shown(show) == ["The first att", "  ↻ it begins again", "The second."]


def test_failure_is_one_line_below_what_was_written() -> None:
    def show(screen: Screen) -> None:
        screen.progress(Progress("Half an"))
        screen.failed("the model\nfell over")

    assert shown(show) == ["Half an", "✗ the model fell over"]


def test_what_would_command_the_terminal_is_left_out() -> None:
    def show(screen: Screen) -> None:
        screen.progress(Progress("a\x1b]0;title\x07b\x9bc\td\u202eé\u2067👩‍👩‍👧\n"))

    assert shown(show) == ["a]0;titlebc\tdé👩‍👩‍👧"]


def test_calls_are_a_line_each_with_what_tells_them_apart() -> None:
    def show(screen: Screen) -> None:
        screen.progress(Progress("I look."))
        screen.tool("⚙", "read_file", "src/\x1b[2Jmain.py")
        screen.tool("✓", "list_directory", "")
        screen.tool("✗", "run_command", "x" * 100)

    before, began, worked, failed = shown(show)
    assert before == "I look."
    assert began == "  ⚙ read_file src/⟦U+001B⟧[2Jmain.py"
    assert worked == "  ✓ list_directory"
    assert failed.startswith("  ✗ run_command xxxx")
    assert len(failed) == 40


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain, ä 中 👩 e\u0301\nnext", "plain, ä 中 👩 e\u0301\nnext"),
        ("a\tb", "a⇥   b"),
        ("\x1b]0;t\x07\r\x9b\x00", "⟦U+001B⟧]0;t⟦U+0007⟧⟦U+000D⟧⟦U+009B⟧⟦U+0000⟧"),
        ("\u200b\u202e\u2028\ufeff\U000e0041", "⟦U+200B⟧⟦U+202E⟧⟦U+2028⟧⟦U+FEFF⟧⟦U+E0041⟧"),
        ("rm\u00a0-rf\u3000/\u2800\u3164\ufe0f\ue000", "rm⟦U+00A0⟧-rf⟦U+3000⟧/⟦U+2800⟧⟦U+3164⟧⟦U+FE0F⟧⟦U+E000⟧"),
    ],
    ids=["what is seen", "tab", "control", "unseen", "blank"],
)
def test_what_is_not_seen_is_made_visible(text: str, seen: str) -> None:
    assert visible(text) == seen


@pytest.mark.parametrize(
    ("line", "pieces"), [("", [""]), ("abcdef", ["abcd", "ef"]), ("a中中b", ["a中", "中b"]), ("abcd", ["abcd"])]
)
def test_line_is_broken_where_the_cells_end(line: str, pieces: list[str]) -> None:
    assert wrapped(line, 4) == pieces


def test_how_many_are_ahead_is_said() -> None:
    def show(screen: Screen) -> None:
        for ahead in (2, 1, 0):
            screen.waits(ahead)

    last = "  waiting: the agent is busy, and this is next"
    assert shown(show) == ["  waiting: 2 tasks are ahead", "  waiting: 1 task is ahead", last]


def test_off_a_terminal_only_the_answer_is_written_and_errors_go_elsewhere() -> None:
    out, errors = io.StringIO(), io.StringIO()
    screen = Screen(out, errors)
    screen.memories(remembered("x"), "")
    screen.waits(1)
    screen.progress(Progress("The fi"))
    screen.progress(Progress("The second", begins_again=True))
    screen.answered("The second \x1b")
    assert out.getvalue() == "The second \x1b\n"
    screen.failed("no\nmore")
    assert errors.getvalue() == "codelab: no more\n"


def test_colours_are_for_terminals_whose_users_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Screen(Terminal(), io.StringIO()).style.dim("x") == "\x1b[2mx\x1b[0m"
    assert Screen(io.StringIO(), io.StringIO()).style.dim("x") == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Screen(Terminal(), io.StringIO()).style.dim("x") == "x"


@pytest.mark.parametrize(
    ("text", "width", "line"),
    [
        ("short", 5, "short"),
        ("longer", 5, "long…"),
        ("a \n b\tc", 9, "a b c"),
        ("中文中文", 5, "中文…"),
        ("e\u0301e\u0301", 2, "e\u0301e\u0301"),
    ],
)
def test_line_is_cut_where_the_cells_end(text: str, width: int, line: str) -> None:
    assert one_line(text, width) == line


def test_bar_grows_on_one_line_of_the_terminal() -> None:
    stream = Terminal()
    with progress_bar(stream, width=10) as draw:
        draw(0.0, "0 of 9")
        draw(0.5, "a line that is longer than what is left of the terminal")
        draw(1.0, "9 of 9")
    drawn = stream.getvalue().removesuffix("\n").replace("\x1b[K", "").split("\r")
    assert drawn == ["", "[..........] 0 of 9", "[#####.....] a line that is longer than…", "[##########] 9 of 9"]
    assert all(len(each) <= 40 for each in drawn)


def test_bar_is_for_terminals() -> None:
    stream = io.StringIO()
    with progress_bar(stream) as draw:
        draw(0.5, "half")
    assert stream.getvalue() == ""
