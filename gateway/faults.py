"""What is wrong with an input, collected so that a caller learns of everything at once."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

# More than this helps nobody, and bounds the answer to a hostile request.
MAX_FAULTS = 50
MAX_PATH_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong. `malformed`: it has the wrong form (400), else its value is refused (422)."""

    field: str
    detail: str
    reason: str
    malformed: bool


@dataclass(slots=True)
class Faults:
    """Everything wrong with one input."""

    found: list[Fault] = field(default_factory=list)

    def unknown(self, path: str, known: Iterable[str], what: str = "field") -> None:
        """The caller named something that does not exist; `known` are the names that do."""
        # A hostile request has thousands.
        if len(self.found) < MAX_FAULTS:
            names = ", ".join(known)
            known_are = f"known are {names}" if names else "there are none"
            self.malformed(path, f"is not a {what} here: {known_are}", "UNKNOWN_FIELD")

    def wrong_type(self, path: str, expected: str) -> None:
        """The value is of another JSON type than its field; `expected` names the right one."""
        self.malformed(path, f"must be {expected}", "WRONG_TYPE")

    def malformed(self, path: str, detail: str, reason: str) -> None:
        """The input has the wrong form."""
        self._add(Fault(path, detail, reason, malformed=True))

    def refused(self, path: str, detail: str) -> None:
        """The value has the right form and fails validation."""
        self._add(Fault(path, detail, "INVALID_ARGUMENT", malformed=False))

    def _add(self, fault: Fault) -> None:
        if len(self.found) < MAX_FAULTS:
            self.found.append(replace(fault, field=shortened(fault.field)))


def shortened(path: str) -> str:
    """A path whose names are the caller's, as an answer may repeat it."""
    return path if len(path) <= MAX_PATH_LENGTH else f"{path[:MAX_PATH_LENGTH]}…"


class WrongType(ValueError):
    """A value has the wrong type; the text names the right one: "a string"."""


class Refused(ValueError):
    """A value has the right type and its field cannot hold it; the text says why: "must be at most 9"."""
