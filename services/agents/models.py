"""The language model, by contract."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from services.agents.tools.tool import ToolSpec

Role = Literal["system", "user", "assistant", "tool"]
Purpose = Literal["task", "plan", "combination"]


@dataclass(frozen=True)
class WantedCall:
    """A call of a tool, as the model wants it: `id` is its own, `arguments` the text that it wrote, JSON or not."""

    id: str
    tool: str
    arguments: str


@dataclass(frozen=True)
class CallsWanted:
    """The model wants tools to be called before it goes on; at least one."""

    calls: tuple[WantedCall, ...]


@dataclass(frozen=True)
class Message:
    """One turn of the conversation that a model continues."""

    role: Role
    content: str
    calls: tuple[WantedCall, ...] = ()
    """Of an assistant: what it wanted to be called. A message of role `tool` follows for each, in their order."""
    call_id: str = ""
    """Of a tool: the call (by the model's own id) that `content` is the result of."""


@dataclass(frozen=True)
class AnswerFormat:
    """The JSON that an answer should be. In the schema every property is required, and no others are permitted."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class ModelRequest:
    """What a model is asked. An empty `model` is the endpoint's default one."""

    messages: tuple[Message, ...]
    model: str
    temperature: float
    max_tokens: int
    """Most tokens of the answer."""
    recalled: tuple[str, ...] = ()
    """The memories in the messages once more by themselves, for a model that cannot read."""
    asked: str = ""
    """What is to be done once more by itself, for the same reason; empty: the last message is nothing else."""
    purpose: Purpose = "task"
    """What the answer is for: the same reason again."""
    tools: tuple[ToolSpec, ...] = ()
    """What the model may call. Models that know no tools are not told, and answer without."""
    may_call: bool = True
    """Whether it may call any of them this time."""
    may_be_silent: bool = False
    """Whether it may say nothing: it has said what there was to say before it called tools."""
    answer_format: AnswerFormat | None = None
    """Unset: text. Endpoints that know no formats are not told; then the messages alone ask for it."""


@dataclass(frozen=True)
class Usage:
    """What an answer cost. A model that does not count its tokens reports 0 of both; the calls are always counted."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    model_calls: int = 0
    """Calls made, also those that failed and were repeated."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.model_calls + other.model_calls,
        )


@dataclass(frozen=True)
class Throttled:
    """The endpoint refused a call for its load: whoever asks it should ask less at once, for so many seconds."""

    seconds: float


class Model(Protocol):
    """Something that continues a conversation."""

    @property
    def canned(self) -> bool:
        """Whether its answers say nothing that is worth remembering."""

    def stream(self, request: ModelRequest) -> AsyncGenerator[str | CallsWanted | Usage | Throttled, None]:
        """Yield the answer in pieces that are not empty, CallsWanted if tools are to be called, and its Usage last.

        Before the first piece a Throttled says that a call was refused for load, also if no answer follows it.
        The pieces are valid Unicode, and not all white space unless tools are to be called.
        It is empty only if it may be. Closing the iterator, or cancelling the task that waits
        for it, ends the model's work at once. Raise ModelUnavailable, ModelTimeout, ModelFailed or ModelRefused; never
        end without Usage. Where a format is asked for, a model's refusal to answer is ModelRefused; else it is its
        answer.
        """
