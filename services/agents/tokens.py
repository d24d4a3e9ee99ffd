"""How many tokens a text has, about, and what fits into so many."""

import json
from collections.abc import Iterable, Sequence

from services.agents.models import Message
from services.agents.tools.tool import ToolSpec

# Bytes of UTF-8 a token, on the low side: English has four and more, code and other scripts about three.
_BYTES_A_TOKEN = 3
# What a chat format adds to each message.
_TOKENS_A_MESSAGE = 4


def estimate_tokens(text: str) -> int:
    """About how many tokens a message with this text has: its UTF-8 bytes / 3, and 4 for the message itself.

    A real tokenizer would be another one for every model, and slower than what the estimate can cost: a history cut a
    few messages early.
    """
    return len(text.encode()) // _BYTES_A_TOKEN + _TOKENS_A_MESSAGE


def estimate_message(message: Message) -> int:
    """About how many tokens a message has, with its calls."""
    calls = sum(estimate_tokens(f"{call.id}{call.tool}{call.arguments}") for call in message.calls)
    return estimate_tokens(message.content) + calls


def estimate_prompt(messages: Iterable[Message], tools: Iterable[ToolSpec] = ()) -> int:
    """About how many tokens a prompt of these messages has, and of what there is to know of these tools."""
    told = sum(
        estimate_tokens(f"{tool.name}{tool.description}{json.dumps(tool.parameters, ensure_ascii=False)}")
        for tool in tools
    )
    return told + sum(map(estimate_message, messages))


def most_characters(tokens: int) -> int:
    """Code points that no text has whose estimate is within so many tokens."""
    return (tokens + 1) * _BYTES_A_TOKEN


def latest_that_fit(history: Sequence[Message], tokens: int) -> Sequence[Message]:
    """The end of a history (oldest first) whose estimate is within so many tokens, without a gap."""
    kept = 0
    for message in reversed(history):
        tokens -= estimate_message(message)
        if tokens < 0:
            break
        kept += 1
    return history[len(history) - kept :]


def fair_shares(wanted: Sequence[int], total: int) -> list[int]:
    """How much each gets of what they share: who wants little all of it, the others even parts of the rest."""
    shares = [0] * len(wanted)
    waiting = len(wanted)
    for index in sorted(range(len(wanted)), key=wanted.__getitem__):
        shares[index] = min(wanted[index], total // waiting)
        total -= shares[index]
        waiting -= 1
    return shares
