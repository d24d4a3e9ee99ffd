"""The model that is built in, for those who have configured none: it shows that everything works, and how to go on."""

import asyncio
import re
from collections.abc import AsyncGenerator

from services.agents.models import ModelRequest, Throttled, Usage
from services.agents.offline_plan import offline_combination, offline_plan
from services.agents.offline_words import as_quotation, with_advice
from services.agents.tokens import estimate_prompt, estimate_tokens

_WORDS_A_PIECE = 4
_MOST_RECALLED = 3

_ANSWER = """\
I am the offline model that is built into CodeLab, not a language model: I can show you that your message reached its \
agent and that answers stream, but I cannot think about it.

You asked:

{question}

{recalled}{history}"""


class OfflineModel:
    """A Model that says what it was asked, what the agent remembers of it, and how to configure a real one.

    It makes plans, too: the same ones for whatever is asked. The same request has the same answer.
    """

    canned = True

    def __init__(self, pause_seconds: float = 0.004) -> None:
        self._pause_seconds = pause_seconds  # Between pieces, so that one sees them stream.

    async def stream(self, request: ModelRequest) -> AsyncGenerator[str | Usage | Throttled, None]:
        """See Model."""
        answer = _answer(request)
        for piece in re.findall(rf"(?:\s*\S+){{1,{_WORDS_A_PIECE}}}\s*", answer):
            yield piece
            await asyncio.sleep(self._pause_seconds)
        yield Usage(estimate_prompt(request.messages), estimate_tokens(answer), model_calls=1)


def _answer(request: ModelRequest) -> str:
    match request.purpose:
        case "plan":
            return offline_plan(request)
        case "combination":
            return offline_combination(request)
    earlier = sum(message.role != "system" for message in request.messages) - 1
    history = f"I was given {earlier} earlier message{'s' if earlier != 1 else ''} of this session with it.\n\n"
    quoted = "\n>\n".join(as_quotation(each) for each in request.recalled[:_MOST_RECALLED])
    return with_advice(
        _ANSWER.format(
            question=as_quotation(request.asked or request.messages[-1].content),
            recalled=f"This agent remembers what may belong to it:\n\n{quoted}\n\n" if quoted else "",
            history=history if earlier else "",
        )
    )
