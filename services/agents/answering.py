"""Letting the model answer, by whoever asks it: what happens, and what it cost."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from services.agents.errors import ModelFailed
from services.agents.events import AnswerEvent, Completed, Delta, ModelCalled
from services.agents.models import CallsWanted, Message, Model, ModelRequest, Throttled, Usage, WantedCall
from services.agents.tokens import estimate_message, estimate_prompt

LONGEST_ANSWER = 1_000_000
"""In code points: far beyond what models write, so that one that never stops does. An event that holds an answer twice
must fit into a message between services, 16 MiB."""


async def answering(model: Model, request: ModelRequest) -> AsyncGenerator[AnswerEvent | CallsWanted | Throttled, None]:
    """Yield ModelCalled, then the answer in Deltas, CallsWanted if tools are to be called, Completed last; where a call
    is refused for load, a Throttled.

    The output is empty only where tools are to be called. Tokens that the model did not count are estimated. Raise
    what the model raises, and ModelFailed if the answer does not end.
    """
    prompt_tokens = estimate_prompt(request.messages, request.tools)
    yield ModelCalled(prompt_tokens)
    pieces: list[str] = []
    offset, usage = 0, Usage()
    calls: tuple[WantedCall, ...] = ()
    async with aclosing(model.stream(request)) as answer:
        async for piece in answer:
            match piece:
                case Usage():
                    usage = piece
                case Throttled():
                    yield piece
                case CallsWanted():
                    calls = piece.calls
                    yield piece
                case _:
                    if offset + len(piece) > LONGEST_ANSWER:
                        raise ModelFailed(f"the model's answer is longer than {LONGEST_ANSWER:,} characters")
                    yield Delta(offset, piece)
                    pieces.append(piece)
                    offset += len(piece)
    output = "".join(pieces)
    if not usage.prompt_tokens and not usage.completion_tokens:
        said = Message("assistant", output, calls)
        usage = replace(usage, prompt_tokens=prompt_tokens, completion_tokens=estimate_message(said))
    yield Completed(output, usage)
