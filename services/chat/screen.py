"""What is shown of a conversation: all of it on a terminal, the bare answer anywhere else."""

from collections.abc import Sequence
from typing import TextIO

from codelab.agents.v1.memory_pb2 import Memory

from services.chat.answer import Progress
from services.terminal import Style, columns, one_line, printable, visible

_MOST_MEMORIES = 3
_SHORTEST_ASIDE = 20


class Screen:
    """Writes to `out`, and errors to `errors` unless `out` is a terminal, which shows them in their place."""

    def __init__(self, out: TextIO, errors: TextIO) -> None:
        self._out = out
        self._errors = errors
        self.is_terminal = out.isatty()
        self.style = Style.of(out)
        self._in_a_line = False

    def memories(self, memories: Sequence[Memory], unavailable: str) -> None:
        """What the agent remembers before it answers."""
        if unavailable:
            self.aside("memory is out of reach: answering without it")
        for memory in memories[:_MOST_MEMORIES]:
            before, after = '  ↺ remembers: "', f'" ({memory.score:.2f})'
            room = columns() - len(before) - len(after)
            if room > 0:
                self._aside(f"{before}{one_line(memory.content, room)}{after}")

    def waits(self, ahead: int) -> None:
        """How many others wait before it for a place at their agent, which works on as many tasks as it may."""
        tasks = "1 task is" if ahead == 1 else f"{ahead} tasks are"
        self.aside(f"waiting: {tasks} ahead" if ahead else "waiting: the agent is busy, and this is next")

    def tool(self, sign: str, tool: str, telling: str) -> None:
        """What becomes of a call: it begins (⚙), worked (✓) or failed (✗); and what tells it from others."""
        before = f"  {sign} {visible(tool)} "
        self._aside(f"{before}{one_line(visible(telling), max(_SHORTEST_ASIDE, columns() - len(before)))}".rstrip())

    def prompt(self, text: str) -> None:
        """Where the user types, unless it stands there still; `entered` says that they did."""
        if not self._in_a_line:
            self._write(text)

    def entered(self) -> None:
        """The user ended the line."""
        self._in_a_line = False

    def beside(self, lines: Sequence[str]) -> None:
        """What is not the answer and must be seen all the same."""
        self.end_line()
        stream = self._out if self.is_terminal else self._errors
        stream.writelines(f"{line}\n" for line in lines)
        stream.flush()

    def progress(self, progress: Progress) -> None:
        """More of an answer, on a terminal."""
        if not self.is_terminal:
            return
        if progress.begins_again:
            self.aside("↻ it begins again")
        self._write(printable(progress.more))

    def answered(self, text: str) -> None:
        """The end of an answer; off a terminal, all of it."""
        if not self.is_terminal:
            self._write(text if text.endswith("\n") else f"{text}\n")
        self.end_line()

    def aside(self, text: str) -> None:
        """A line beside the conversation, on a terminal."""
        self._aside(f"  {text}")

    def line(self, text: str = "") -> None:
        """A line that was asked for."""
        self.end_line()
        self._out.write(f"{text}\n")
        self._out.flush()

    def failed(self, detail: str) -> None:
        """What went wrong, in one line."""
        text = " ".join(printable(detail).split())
        if self.is_terminal:
            self.line(self.style.bad(f"✗ {text}"))
        else:
            self.end_line()
            self._errors.write(f"codelab: {text}\n")

    def end_line(self) -> None:
        """Go to the beginning of a line, unless that is where we are."""
        if self._in_a_line:
            self._write("\n")

    def _aside(self, text: str) -> None:
        if self.is_terminal:
            self.line(self.style.dim(text))

    def _write(self, text: str) -> None:
        if text:
            self._out.write(text)
            self._out.flush()
            self._in_a_line = not text.endswith("\n")
