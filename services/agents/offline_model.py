"""The model that is built in, for those who have configured none: it shows that everything works, and how to go on."""

import asyncio
import re
from collections.abc import AsyncGenerator

from services.agents.models import ModelRequest, Throttled, Usage
from services.agents.prompt import estimate_tokens

_QUOTED_CHARACTERS = 400
_WORDS_A_PIECE = 4
_MOST_RECALLED = 3

_ANSWER = """\
I am the offline model that is built into CodeLab, not a language model: I can show you that your message reached its \
agent and that answers stream, but I cannot think about it.

You asked:

{question}

{recalled}{history}To get real answers, stop CodeLab, set one of these and start it again:

- OpenAI: `OPENAI_API_KEY=sk-…`
- Ollama, vLLM, LiteLLM or another OpenAI-compatible endpoint: `OPENAI_BASE_URL=http://127.0.0.1:11434/v1`, and \
`OPENAI_MODEL` with the name of a model it has. Add `OPENAI_API_KEY` if the endpoint asks for one.
"""


class OfflineModel:
    """A Model that says what it was asked, what the agent remembers of it, and how to configure a real one.

    The same request has the same answer.
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
        prompt_tokens = sum(estimate_tokens(message.content) for message in request.messages)
        yield Usage(prompt_tokens, estimate_tokens(answer), model_calls=1)


def _answer(request: ModelRequest) -> str:
    earlier = sum(message.role != "system" for message in request.messages) - 1
    history = f"I was given {earlier} earlier message{'s' if earlier != 1 else ''} of this session with it.\n\n"
    quoted = "\n>\n".join(_quoted(each) for each in request.recalled[:_MOST_RECALLED])
    return _ANSWER.format(
        question=_quoted(request.messages[-1].content),
        recalled=f"This agent remembers what may belong to it:\n\n{quoted}\n\n" if quoted else "",
        history=history if earlier else "",
    ).rstrip()


def _quoted(text: str) -> str:
    text = text.strip()
    if len(text) > _QUOTED_CHARACTERS:
        text = f"{text[:_QUOTED_CHARACTERS]}…"
    # Whatever ends a line for whoever shows it must not end the quotation.
    return "\n".join(f"> {line}" for line in text.splitlines() or [""])
