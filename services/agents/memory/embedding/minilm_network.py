"""MiniLM-L6 by numpy: texts to vectors. Importing this module is slow; it runs in the embedder's own thread.

The network is BERT's: six layers of attention and feed-forward over the tokens of a text, whose mean is its vector.
"""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer

Floats = NDArray[np.float32]

DIMENSION = 384
MOST_TOKENS = 256
"""What the model was trained to read; the beginning of a longer text counts."""

_LAYERS = 6
_HEADS = 12
_HEAD_SIZE = DIMENSION // _HEADS
_TINY = np.float32(1e-12)
# Low enough that its exponential is 0.
_HIDDEN = np.float32(-1e9)
# Nearly every text has its 256 tokens in them; to tokenize all of a megabyte takes a second.
_MOST_CHARACTERS = 8_192
# Values of the feed-forward layer that are worked on together: they stay in the processor's cache.
_BLOCK = 65_536


@dataclass(frozen=True)
class _Norm:
    scale: Floats
    shift: Floats

    def __call__(self, x: Floats) -> Floats:
        x = x - x.mean(axis=-1, keepdims=True)
        x /= np.sqrt(np.einsum("...i,...i->...", x, x)[..., None] / np.float32(DIMENSION) + _TINY)
        x *= self.scale
        x += self.shift
        return x


@dataclass(frozen=True)
class _Dense:
    weight: Floats
    bias: Floats

    def __call__(self, x: Floats) -> Floats:
        # Flat: a stack of matrices would be multiplied one by one.
        y: Floats = x.reshape(-1, x.shape[-1]) @ self.weight
        y += self.bias
        return y.reshape(*x.shape[:-1], -1)


@dataclass(frozen=True)
class _Layer:
    queries_keys_values: _Dense
    attended: _Dense
    attended_norm: _Norm
    widen: _Dense
    narrow: _Dense
    norm: _Norm

    def __call__(self, x: Floats, hidden: Floats | None) -> Floats:
        x = self.attended_norm(x + self.attended(self._attention(x, hidden)))
        return self.norm(x + self.narrow(gelu(self.widen(x))))

    def _attention(self, x: Floats, hidden: Floats | None) -> Floats:
        texts, tokens, _ = x.shape
        parts = self.queries_keys_values(x).reshape(texts, tokens, 3, _HEADS, _HEAD_SIZE)
        queries, keys, values = parts.transpose(2, 0, 3, 1, 4)
        weights = queries @ keys.swapaxes(-1, -2)
        if hidden is not None:
            weights += hidden
        weights -= weights.max(axis=-1, keepdims=True)
        np.exp(weights, out=weights)
        weights /= weights.sum(axis=-1, keepdims=True)
        attended: Floats = (weights @ values).swapaxes(1, 2)
        return attended.reshape(texts, tokens, DIMENSION)


class Network:
    """The model, loaded. `vectors` is for one thread at a time."""

    def __init__(self, tokenizer: Tokenizer, weights: Mapping[str, Floats]) -> None:
        self._tokenizer = tokenizer
        # The file says otherwise: 128 tokens, each text padded to them.
        tokenizer.enable_truncation(MOST_TOKENS)
        tokenizer.no_padding()
        self._words = weights["embeddings.word_embeddings.weight"]
        # Every text is a first sentence.
        self._places = (
            weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
        )
        self._norm = _norm(weights, "embeddings.LayerNorm")
        self._layers = [_layer(weights, f"encoder.layer.{number}") for number in range(_LAYERS)]

    @classmethod
    def load(cls, tokenizer: Path, weights: Path) -> Self:
        """Read the model's files. It takes half a second."""
        _multiply_in_one_thread()
        return cls(Tokenizer.from_file(str(tokenizer)), load_file(weights))

    def vectors(self, texts: Sequence[str]) -> Floats:
        """A row for each text, of length 1."""
        # One by one: a batch would be spread over threads of the tokenizer's own.
        tokens = [self._tokenizer.encode(text[:_MOST_CHARACTERS]).ids for text in texts]
        counts = np.array([len(each) for each in tokens])
        longest = int(counts.max())
        ids = np.zeros((len(texts), longest), dtype=np.int64)
        for row, each in zip(ids, tokens, strict=True):
            row[: len(each)] = each
        there = (np.arange(longest) < counts[:, None]).astype(np.float32)
        hidden = None if there.all() else (1 - there)[:, None, None, :] * _HIDDEN

        x = self._norm(self._words[ids] + self._places[:longest])
        for layer in self._layers:
            x = layer(x, hidden)
        # The mean but for its scale, which the next line takes away.
        sums: Floats = np.einsum("btd,bt->bd", x, there)
        sums /= np.linalg.norm(sums, axis=1, keepdims=True)
        return sums


def _multiply_in_one_thread() -> None:
    """Keep numpy's OpenBLAS from a thread for each core, for the whole process.

    They wait for each other by spinning: on two busy cores a text of 256 tokens took 2.3 s of CPU instead of 0.1.
    """
    library = ctypes.CDLL(np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]
    # Where numpy was built with another library, it is left as it is.
    if (set_threads := getattr(library, "scipy_openblas_set_num_threads64_", None)) is not None:
        set_threads(1)


def gelu(x: Floats) -> Floats:
    """x · Φ(x), in place, within 1e-6: Φ by formula 7.1.26 of Abramowitz and Stegun for erf."""
    flat = x.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        size = np.abs(block) * np.float32(0.5**0.5)
        t = 1 / (1 + np.float32(0.3275911) * size)
        tail = np.float32(1.061405429) * t
        for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
            tail += np.float32(coefficient)
            tail *= t
        size *= size
        np.negative(size, out=size)
        np.exp(size, out=size)
        tail *= size
        # erf is odd: 1 - tail on the right, tail - 1 on the left.
        np.subtract(1, tail, out=tail)
        np.copysign(tail, block, out=tail)
        tail += 1
        tail *= np.float32(0.5)
        block *= tail
    return x


def _layer(weights: Mapping[str, Floats], name: str) -> _Layer:
    parts = [_dense(weights, f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
    # What attention divides by, once and for all.
    scale = np.float32(_HEAD_SIZE**-0.5)
    parts[0] = _Dense(parts[0].weight * scale, parts[0].bias * scale)
    return _Layer(
        queries_keys_values=_Dense(
            np.concatenate([each.weight for each in parts], axis=1), np.concatenate([each.bias for each in parts])
        ),
        attended=_dense(weights, f"{name}.attention.output.dense"),
        attended_norm=_norm(weights, f"{name}.attention.output.LayerNorm"),
        widen=_dense(weights, f"{name}.intermediate.dense"),
        narrow=_dense(weights, f"{name}.output.dense"),
        norm=_norm(weights, f"{name}.output.LayerNorm"),
    )


def _dense(weights: Mapping[str, Floats], name: str) -> _Dense:
    # A row for each input: a short text takes half the time then.
    return _Dense(np.ascontiguousarray(weights[f"{name}.weight"].T), weights[f"{name}.bias"])


def _norm(weights: Mapping[str, Floats], name: str) -> _Norm:
    return _Norm(weights[f"{name}.weight"], weights[f"{name}.bias"])
