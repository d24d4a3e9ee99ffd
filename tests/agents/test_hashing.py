"""The degraded mode: it finds words, deterministically."""

import asyncio
import math
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agents.memory.embedding.hashing import HashingEmbedder, vector_of
from tests.agents.paraphrases import cosine, places

EMBEDDER = HashingEmbedder()


async def similarity(one: str, other: str) -> float:
    return cosine(*await EMBEDDER.embed([one, other]))


async def test_same_words_are_similar_and_others_are_not() -> None:
    assert await similarity("The parser of invoices fails", "the PARSER fails!") > 0.6
    assert abs(await similarity("The parser of invoices fails", "Anna likes green tea")) < 0.2


async def test_forms_of_a_word_are_more_similar_than_other_words() -> None:
    assert await similarity("deployed", "deployments") > await similarity("deployed", "invoices") + 0.1


async def test_order_of_words_counts_a_little() -> None:
    same, swapped = "dog bites man", "man bites dog"
    assert 0.8 < await similarity(same, swapped) < 0.999


async def test_facts_with_the_words_of_the_question_are_found() -> None:
    vectors = await EMBEDDER.embed(
        ["the staging database is wiped on Sunday", "Tom is allergic to peanuts", "when is the staging database wiped"]
    )
    assert cosine(vectors[0], vectors[2]) > cosine(vectors[1], vectors[2])


async def test_other_words_are_hardly_found() -> None:
    """If this fails, the mode has become better than what the documentation says of it."""
    found = await places(EMBEDDER)
    assert sum(place < 3 for place in found) < 9, found


def test_vectors_are_the_same_in_every_process_and_version() -> None:
    text = "Grüße, ERR_4711 中文"
    code = f"from services.agents.memory.embedding.hashing import vector_of; print(vector_of({text!r}))"
    for seed in ("1", "2"):
        assert printed_by(code, PYTHONHASHSEED=seed) == str(vector_of(text))
    assert {index: round(each, 4) for index, each in enumerate(vector_of("go")) if each} == {
        150: -0.5,
        230: 0.7071,
        387: 0.5,
    }


@given(st.text())
def test_every_text_has_a_vector_of_length_1(text: str) -> None:
    vector = vector_of(text)
    assert len(vector) == 512
    assert math.hypot(*vector) == pytest.approx(1)


def test_words_that_take_each_other_away_leave_a_vector() -> None:
    assert math.hypot(*vector_of("")) == 1


async def test_of_a_long_text_the_beginning_counts() -> None:
    word, words, beyond = await EMBEDDER.embed(["x" * 40, "a " * 400, "a " * 400 + "b " * 100_000])
    assert words == beyond
    assert (await EMBEDDER.embed(["x" * 1_000_000])) == [word]
    assert (await EMBEDDER.embed([" " * 20_000 + "word"])) == await EMBEDDER.embed([""])


async def test_others_have_their_turn_between_two_texts() -> None:
    turns: list[str] = []

    async def embed(name: str) -> None:
        for _ in range(3):
            await EMBEDDER.embed([name])
            turns.append(name)

    await asyncio.gather(embed("a"), embed("b"))
    assert turns == ["a", "b"] * 3


def test_it_brings_no_package() -> None:
    heavy = {"numpy", "openai", "tokenizers"}
    code = f"import sys, services.agents.memory.embedding.hashing; print({heavy} & set(sys.modules))"
    assert printed_by(code) == "set()"


def printed_by(code: str, **environment: str) -> str:
    """What another process prints."""
    process = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, stdout=subprocess.PIPE, check=True, timeout=30
    )
    return process.stdout.decode().strip()
