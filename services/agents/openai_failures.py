"""What the `openai` client's exceptions mean to us. Their text is never passed on: it may hold keys and prompts."""

import re
from dataclasses import dataclass

from services.agents.errors import ModelFailed, ModelRefused, ModelTimeout, ModelUnavailable
from services.runtime.errors import CodelabError

# Whoever asks for more time than this gets an error that says so: the user would wait for it otherwise.
LONGEST_RETRY_AFTER_SECONDS = 15.0
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
            return _of_status(error.status_code, _identifier(error.code), error.param, _retry_after(error), model)
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


def _of_status(status: int, code: str | None, parameter: str | None, retry_after: float | None, model: str) -> Failure:
    if status in (401, 403):
        advice = f"the model's endpoint refused the credentials (HTTP {status}): check OPENAI_API_KEY"
        return Failure(ModelRefused(advice, model=model), status=status, code=code)
    if code == "insufficient_quota":
        advice = "the account of OPENAI_API_KEY has no quota left: top it up, or use another key"
        return Failure(ModelRefused(advice, model=model), status=status, code=code)
    if status in (408, 429) or status >= 500:
        what = "is overloaded" if status == 429 else "fails"
        return Failure(
            ModelUnavailable(
                f"the model's endpoint {what} (HTTP {status}): try again later", retry_after=retry_after, model=model
            ),
            passing=retry_after is None or retry_after <= LONGEST_RETRY_AFTER_SECONDS,
            retry_after=retry_after,
            status=status,
            code=code,
        )
    reason = f"HTTP {status}" if code is None else f"HTTP {status}, {code}"
    advice = (
        f"the model's endpoint does not know model {model} ({reason}): check the agent's model, OPENAI_MODEL and"
        " OPENAI_BASE_URL"
        if status == 404
        else f"the model's endpoint refused the request to model {model} ({reason}): check the agent's model and config"
    )
    return Failure(ModelRefused(advice, model=model), status=status, code=code, refused_parameter=parameter)


def _identifier(code: object) -> str | None:
    # Endpoints put what they like into `code`: only what is a name may be shown.
    return code if isinstance(code, str) and _IDENTIFIER.fullmatch(code) else None


def _retry_after(error: object) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None  # Absent, or a date: our own pause will do.
    return seconds if 0 <= seconds < float("inf") else None
