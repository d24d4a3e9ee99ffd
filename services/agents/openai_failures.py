"""What the `openai` client's exceptions mean to us. Their text is never passed on: it may hold keys and prompts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.agents.errors import ModelFailed, ModelRefused, ModelTimeout, ModelUnavailable
from services.runtime.errors import CodelabError

if TYPE_CHECKING:
    from openai import APIStatusError

NO_QUOTA = "the account of OPENAI_API_KEY has no quota left: top it up, or use another key"
# Whoever asks for more time than this gets an error that says so: the user would wait for it otherwise.
LONGEST_RETRY_AFTER_SECONDS = 15.0
SHORTEST_THROTTLE_SECONDS = 30.0
"""How long an endpoint that is overloaded is asked less at once, unless it wants to be left alone for longer."""
LONGEST_THROTTLE_SECONDS = 3600.0
_LONGEST_PASSED_ON_SECONDS = 24 * 3600.0
"""Endpoints may ask for any number of seconds; those whom it is passed on to cannot count that far."""
# Few endpoints say which parameter they refuse other than in words, and each has its own.
_OF_FORMAT = re.compile(r"response_?format|json_?schema|structured.?output|guided.?(json|decoding)", re.IGNORECASE)
_OF_TOOLS = re.compile(
    r"""support[^.;]{0,40}\b(tools?|function.?calls?|function.?calling)\b
    |\b(tools?|tool.?calls?|tool.?calling|function.?calls?|function.?calling)\b[^.;]{0,40}
        \b(not|un)\W?(be\W)?(support|enabl|available|permit|allow|recogni)
    |\b(unknown|unrecognized|unexpected|unsupported)\b[^.;]{0,40}\btools\b
    |enable-auto-tool-choice|\btools\b.param\b.requires
    |roles?.must.alternate|only.user.(and|or).assistant.roles""",
    re.IGNORECASE | re.VERBOSE,
)
# Servers that lack a setting for tools fail like those that lack the model, or a part of themselves.
_OF_REFUSED_TOOLS = (400, 404, 422, 500, 501)
_MOST_WORDS = 2_000
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True)
class Failure:
    """A failed call: the error to raise, whether the same call may succeed soon, and what is known for the log."""

    error: CodelabError
    passing: bool = False
    retry_after: float | None = None
    status: int | None = None
    code: str | None = None
    refused_parameter: str | None = None
    throttled_seconds: float | None = None
    """For how long less should be asked at once; None if it was not refused for load."""


@dataclass(frozen=True)
class Refusal:
    """What an endpoint said instead of an answer."""

    status: int
    code: str | None
    parameter: str | None
    retry_after: float | None

    @property
    def of_credentials(self) -> bool:
        """Whether the key is wrong, or may not do this."""
        return self.status in (401, 403)

    @property
    def of_quota(self) -> bool:
        """Whether the key's account is used up, which no waiting mends."""
        return self.code == "insufficient_quota"

    @property
    def of_load(self) -> bool:
        """Whether the same call may succeed later."""
        return not self.of_quota and (self.status in (408, 429) or self.status >= 500)

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed so soon that its caller can wait."""
        return self.of_load and (self.retry_after is None or self.retry_after <= LONGEST_RETRY_AFTER_SECONDS)

    @property
    def throttled_seconds(self) -> float | None:
        """For how long less should be asked at once; None if there is no reason to."""
        if self.status != 429 or self.of_quota:
            return None
        return min(max(SHORTEST_THROTTLE_SECONDS, self.retry_after or 0.0), LONGEST_THROTTLE_SECONDS)

    @property
    def what_happens(self) -> str:
        """What an endpoint does that answers so for its load: `fails (HTTP 500)`."""
        return f"{'is overloaded' if self.status == 429 else 'fails'} (HTTP {self.status})"

    @property
    def grounds(self) -> str:
        """Status and code, for people."""
        return f"HTTP {self.status}" if self.code is None else f"HTTP {self.status}, {self.code}"


def refusal_of(error: "APIStatusError") -> Refusal:
    """Read the client's error."""
    return Refusal(error.status_code, _identifier(error.code), _refused_parameter(error), _retry_after(error))


def failure_of(error: Exception, model: str, said: bool, silence_seconds: float) -> Failure | None:
    """What it means that a call to `model` raised `error`, after text if `said`; None if it is not foreseen."""
    # Whoever raises the client's errors has imported it.
    import openai

    match error:
        case CodelabError():
            return Failure(error)
        case TimeoutError():
            return Failure(ModelTimeout(silence_seconds))
        case openai.APIStatusError():
            return _of_refusal(refusal_of(error), model)
        case openai.APIConnectionError() if not said:
            return Failure(
                ModelUnavailable("the model's endpoint cannot be reached: check OPENAI_BASE_URL, or try again"),
                passing=True,
            )
        case openai.APIConnectionError():
            return Failure(ModelFailed("the connection to the model broke off in mid-answer: try again"))
        case openai.APIError():
            return Failure(ModelFailed("the model's endpoint reported an error in its answer: try again"))
        case openai.OpenAIError() | ValueError():
            return Failure(ModelFailed("the model's answer cannot be read: is OPENAI_BASE_URL OpenAI-compatible?"))
    return None


def _of_refusal(refusal: Refusal, model: str) -> Failure:
    status, code = refusal.status, refusal.code
    if refusal.of_credentials:
        advice = f"the model's endpoint refused the credentials (HTTP {status}): check OPENAI_API_KEY"
        return Failure(ModelRefused(advice, model=model), status=status, code=code)
    if refusal.of_quota:
        return Failure(ModelRefused(NO_QUOTA, model=model), status=status, code=code)
    if refusal.of_load:
        advice = f"the model's endpoint {refusal.what_happens}: try again later"
        return Failure(
            ModelUnavailable(advice, retry_after=refusal.retry_after, model=model),
            passing=refusal.passing,
            retry_after=refusal.retry_after,
            throttled_seconds=refusal.throttled_seconds,
            status=status,
            code=code,
            refused_parameter=refusal.parameter,
        )
    advice = (
        f"the model's endpoint does not know model {model} ({refusal.grounds}): check the agent's model, OPENAI_MODEL"
        " and OPENAI_BASE_URL"
        if status == 404
        else f"the model's endpoint refused the request to model {model} ({refusal.grounds}): check the agent's model"
        " and config"
    )
    return Failure(ModelRefused(advice, model=model), status=status, code=code, refused_parameter=refusal.parameter)


def _refused_parameter(error: "APIStatusError") -> str | None:
    """The parameter that the endpoint does not take, or not with this value."""
    named = error.param if isinstance(error.param, str) else ""
    words = named or " ".join(_words(error.body))[:_MOST_WORDS]
    if error.status_code in (400, 422):
        if _OF_FORMAT.search(words):
            return "response_format"
        if named or "tool_choice" in words:
            return named or "tool_choice"
    if not named and error.status_code in _OF_REFUSED_TOOLS and _OF_TOOLS.search(words):
        return "tools"
    return None


def _words(said: object) -> Iterator[str]:
    """What an endpoint says of an error, without what it quotes of the request: there a user may have put any words."""
    match said:
        case str():
            yield said
        case list():
            for each in said:
                yield from _words(each)
        case dict():
            for name in ("message", "error", "loc", "msg", "detail", "metadata", "raw"):
                yield from _words(said.get(name))


def _identifier(code: object) -> str | None:
    # Endpoints put what they like into `code`: only what is a name may be shown.
    return code if isinstance(code, str) and _IDENTIFIER.fullmatch(code) else None


def _retry_after(error: object) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None  # Absent, or a date: our own pause will do.
    return min(seconds, _LONGEST_PASSED_ON_SECONDS) if 0 <= seconds < float("inf") else None
