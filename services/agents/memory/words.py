"""Words: what full text is searched by, the same on every store because it is done here."""

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping

# BM25's usual constants; the average length is that of a question with its answer. It only scales.
_SATURATION = 1.2
_LENGTH_WEIGHT = 0.75
_AVERAGE_WORDS = 100

# Chinese and Japanese, which put no space between words: there each character counts as one.
_IDEOGRAPH = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_WORD = re.compile(rf"[{_IDEOGRAPH}]|[^\W{_IDEOGRAPH}]+")
# Words, and what is written as one of several. Each character is read once: a request may be one long word.
_WRITTEN_TOGETHER = re.compile(r"\w+(?:[._/\-]\w+)*")
# What people copy rather than say has one of these: ERR_4711, parser.py, v1.2, feature/login, HTTPServer.
_COPIED = re.compile(r"[\d._/\-]|[A-Z]{2}|[a-z][A-Z]")


def words_of(text: str) -> list[str]:
    """The words of a text in their order, folded: runs of letters, digits and underscores, and single ideographs."""
    return _WORD.findall(text.casefold())


def identifiers_of(text: str) -> list[str]:
    """The words of those parts of a text that look like a name, a number, a path or a version; each once."""
    copied = (each for each in _WRITTEN_TOGETHER.findall(text) if _COPIED.search(each))
    return list(dict.fromkeys(word for each in copied for word in words_of(each)))


def word_weights(text: str) -> dict[int, float]:
    """How much each word says of the text it stands in: BM25 without the word's rarity, which the store knows.

    Words are known by a 32-bit hash.
    """
    words = words_of(text)
    norm = _SATURATION * (1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * len(words) / _AVERAGE_WORDS)
    return _by_hash({word: count * (_SATURATION + 1) / (count + norm) for word, count in Counter(words).items()})


def query_weights(words: Iterable[str]) -> dict[int, float]:
    """What a search for any of these words is weighed by."""
    return _by_hash(dict.fromkeys(words, 1.0))


def _by_hash(weights: Mapping[str, float]) -> dict[int, float]:
    # Two words of one hash are one word: in a memory of 100,000 different ones about one pair is.
    return {zlib.crc32(word.encode()): weight for word, weight in weights.items()}
