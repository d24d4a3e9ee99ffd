"""What the agents think with: the model."""

import re
from typing import Any

import httpx2

from services.agents.openai_client import OPENAI_URL
from services.doctor.finding import Finding, fail, ok, place, warn
from services.runtime.settings import Settings

# Below the deadline of a check: two questions must fit.
_CONNECT_SECONDS = 2.0
_ANSWER_SECONDS = 6.0
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.:/@-]{1,100}")
_SHOWN_MODELS = 5


async def model(settings: Settings) -> list[Finding]:
    """Whether the endpoint answers, takes the key and knows the model."""
    if not settings.openai_api_key and not settings.openai_base_url:
        mend = "for a real one set OPENAI_API_KEY, or OPENAI_BASE_URL and OPENAI_MODEL, in the environment or in .env"
        return [ok("model", "the built-in offline model, which does not think", mend)]
    base = settings.openai_base_url.rstrip("/") or OPENAI_URL
    headers = {"authorization": f"Bearer {settings.openai_api_key or 'none'}"}
    timeout = httpx2.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS)
    try:
        async with httpx2.AsyncClient(headers=headers, timeout=timeout) as client:
            return [await _asked(client, base, settings.openai_model)]
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        # Without the error's words, nor the URL's user and path: either may hold what nobody is to see.
        slow = isinstance(error, httpx2.TimeoutException)
        why = "no answer in time" if slow else "no connection"
        mend = "start it, or correct OPENAI_BASE_URL; behind a proxy set HTTPS_PROXY"
        return [fail("model", f"{place(base)} is not reachable: {why}", mend)]


async def _asked(client: httpx2.AsyncClient, base: str, name: str) -> Finding:
    """Look for the model in the list; if that does not tell, ask for a word of it."""
    listed = await client.get(f"{base}/models")
    if listed.status_code in (401, 403):
        return _refused(base, listed.status_code)
    known = _names(listed)
    # Ollama lists what is called `name` as `name:latest`.
    if name in known or f"{name}:latest" in known:
        return ok("model", f"{name} at {place(base)}")
    limit = "max_completion_tokens" if base == OPENAI_URL else "max_tokens"
    request = {"model": name, "messages": [{"role": "user", "content": "Say yes."}], limit: 16}
    answer = await client.post(f"{base}/chat/completions", json=request)
    status = answer.status_code
    if status == 200:
        return ok("model", f"{name} at {place(base)}, which does not list it, and answers")
    if status in (401, 403):
        return _refused(base, status)
    if status == 429:
        mend = "wait a while, or look at the account's limits and quota"
        return warn("model", f"{place(base)} is overloaded, or the account's quota is used up (HTTP 429)", mend)
    if status == 404:
        shown = [each for each in known if _IDENTIFIER.fullmatch(each)][:_SHOWN_MODELS]
        mend = "set OPENAI_MODEL to one that it has" + (f", such as {', '.join(shown)}" if shown else "")
        return fail("model", f"{place(base)} does not know the model {name} (HTTP 404)", mend)
    mend = "is OPENAI_BASE_URL OpenAI-compatible, and OPENAI_MODEL a chat model?"
    return fail("model", f"{place(base)} does not answer a small request (HTTP {status})", mend)


def _refused(base: str, status: int) -> Finding:
    detail = f"{place(base)} refused the credentials (HTTP {status})"
    return fail("model", detail, "set OPENAI_API_KEY to a key of this endpoint")


def _names(answer: httpx2.Response) -> list[str]:
    """The models of a list; none if it is no such list."""
    try:
        body: Any = answer.json()
    except ValueError:
        return []
    listed = body.get("data") if isinstance(body, dict) else None
    return [str(each["id"]) for each in listed or [] if isinstance(each, dict) and "id" in each]
