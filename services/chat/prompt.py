"""Lines typed at a prompt, edited with readline where Python has it."""

from collections.abc import Sequence
from contextlib import suppress

from services.terminal import Style


class Prompt:
    """Asks for messages. Its history lasts as long as it does: what one says is not left in a file."""

    def __init__(self, style: Style, completions: Sequence[str]) -> None:
        self._first = self._marked(style, "› ")
        self._more = self._marked(style, "… ")
        # Some builds of Python lack it: then lines are edited as the terminal does.
        with suppress(ImportError):
            import readline

            def complete(text: str, state: int) -> str | None:
                fitting = [each for each in completions if each.startswith(text)] if text.startswith("/") else []
                return fitting[state] if state < len(fitting) else None

            readline.set_completer(complete)
            readline.set_completer_delims(" ")
            readline.parse_and_bind("tab: complete")
            # Pasted lines arrive together, and none is sent before all are seen.
            readline.parse_and_bind("set enable-bracketed-paste on")

    def read(self) -> str:
        r"""A message; a line that ends with `\` goes on in the next. Raise EOFError, or KeyboardInterrupt on Ctrl-C."""
        lines = [input(self._first)]
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1]
            lines.append(input(self._more))
        return "\n".join(lines).strip()

    @staticmethod
    def _marked(style: Style, text: str) -> str:
        # readline must not count what has no width.
        return f"\x01\x1b[1m\x02{text}\x01\x1b[0m\x02" if style.colours else text
