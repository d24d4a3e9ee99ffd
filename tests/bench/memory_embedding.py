"""The bundled embedding model: what a text costs by its length, and what the model costs to have.

`python -m tests.bench.memory_embedding` measures in a process that holds nothing else, and prints JSON.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

from services.agents.memory.embedding.minilm import MiniLmEmbedder
from tests.bench import figures

TOKENS = (10, 50, 250)
_TEXTS = 30
# Each of one token; a beginning and an end are added to a text.
_WORDS = ("the", "house", "stands", "on", "a", "hill", "and", "two", "roads", "lead", "there")


@dataclass(frozen=True)
class Length:
    """What texts of so many tokens cost, one at a time and all at once; CPU of a text, in ms."""

    tokens: int
    cpu_alone: float
    p50_alone: float
    p99_alone: float
    cpu_together: float


@dataclass(frozen=True)
class Model:
    """What the model costs."""

    load_seconds: float
    load_cpu_seconds: float
    pss_mb: float
    """More than the process had before."""
    lengths: list[Length]


async def measure() -> Model:
    """Measure in a new process."""
    command = (sys.executable, "-m", "tests.bench.memory_embedding")
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    printed, _ = await process.communicate()
    assert process.returncode == 0
    values = json.loads(printed)
    return Model(**{**values, "lengths": [Length(**each) for each in values["lengths"]]})


async def _measured_here() -> Model:
    before = figures.pss_mb([os.getpid()])
    started, cpu = time.perf_counter(), time.process_time()
    embedder = MiniLmEmbedder.installed()
    await embedder.embed([_text(10, 0)])
    load, load_cpu = time.perf_counter() - started, time.process_time() - cpu
    lengths = [await _length(embedder, tokens) for tokens in TOKENS]
    memory = figures.pss_mb([os.getpid()]) - before
    await embedder.close()
    return Model(load, load_cpu, memory, lengths)


async def _length(embedder: MiniLmEmbedder, tokens: int) -> Length:
    texts = [_text(tokens, number) for number in range(_TEXTS)]
    taken = []
    cpu = time.process_time()
    for text in texts:
        started = time.perf_counter()
        await embedder.embed([text])
        taken.append(1000 * (time.perf_counter() - started))
    alone = time.process_time() - cpu
    cpu = time.process_time()
    await embedder.embed(texts)
    together = time.process_time() - cpu
    return Length(tokens, 1000 * alone / _TEXTS, figures.p50(taken), figures.p99(taken), 1000 * together / _TEXTS)


def _text(tokens: int, number: int) -> str:
    return " ".join(_WORDS[(number + place) % len(_WORDS)] for place in range(tokens - 2))


def tables(model: Model) -> str:
    """What was measured."""
    title = (
        f"MiniLM: first text after {model.load_seconds:.2f} s ({model.load_cpu_seconds:.2f} s CPU), "
        f"{model.pss_mb:.0f} MB PSS more; ms a text, {_TEXTS} texts"
    )
    rows = [(each.tokens, each.cpu_alone, each.p50_alone, each.p99_alone, each.cpu_together) for each in model.lengths]
    return figures.table(title, ("tokens", "CPU alone", "p50 alone", "p99", "CPU together"), rows)


def main() -> None:
    """Measure here, and print what was measured."""
    sys.stdout.write(json.dumps(asdict(asyncio.run(_measured_here()))))


if __name__ == "__main__":
    main()
