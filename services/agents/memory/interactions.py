"""What is remembered of an interaction, and under which id."""

import uuid
from collections.abc import Iterable

from services.agents.agent import Owner

LONGEST = 100_000
"""Code points of a memory's content, as the contract has it."""
_LONGEST_QUESTION = LONGEST // 2
_BETWEEN = "\n\n"
# Shorter lines, such as `Yes.` or `}`, repeat by chance.
_SHORTEST_ECHO = 20


def said_once(owner: Owner, agent_id: str, text: str) -> str:
    """The id of the memory whose vector stands for this text: the same thing said twice is one memory.

    Case and white space make no difference.
    """
    folded = " ".join(text.casefold().split())
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{owner.user_id}/{owner.project_id}/{agent_id}/{folded}"))


def another(memory_id: str) -> str:
    """The id to take where this one is taken: its memory was corrected, and says something else now."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, memory_id))


def told(question: str, answer: str, recalled: Iterable[str]) -> tuple[str, int | None]:
    """The content to remember of a question and its answer, and how much of it was asked (see Memory.asked).

    Of the answer only what is new: what it repeats of the recalled memories, or of the question, is remembered already.
    """
    question = question[:_LONGEST_QUESTION]
    # One text, which is searched for a line as fast as memory is read: of short lines there may be very many.
    known = _BETWEEN.join(line for text in (*recalled, question) for line in _lines(text))
    new = "\n".join(line for line in answer[:LONGEST].splitlines() if not _is_echo(line, known)).strip()
    if not new:
        return question, None
    return f"{question}{_BETWEEN}{new}"[:LONGEST], len(question)


def _is_echo(line: str, known: str) -> bool:
    bare = _bare(line)
    return len(bare) >= _SHORTEST_ECHO and bare in known


def _lines(text: str) -> list[str]:
    return [bare for line in text.splitlines() if len(bare := _bare(line)) >= _SHORTEST_ECHO]


def _bare(line: str) -> str:
    """A line without what quoting it adds: marks at its beginning, quotation marks, other white space."""
    return " ".join(line.split()).lstrip(" >*-\"'“‘").rstrip(" \"'”’").casefold()
