"""What an agent is: plain values that the whole service shares."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Literal, Self, TypeVar

AgentStatus = Literal["ready", "busy", "error"]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Owner:
    """Whose project something belongs to. Every query carries both ids."""

    user_id: str
    project_id: str


@dataclass(frozen=True)
class MemoryConfig:
    """What is recalled for a prompt: the `top_k` most similar interactions, of cosine `min_score` at least."""

    top_k: int = 5
    min_score: float = 0.0


@dataclass(frozen=True)
class AgentConfig:
    """How an agent works. The defaults are the server's: they stand for what a caller leaves out."""

    system_prompt: str = ""
    model: str = ""
    """Empty: the platform's default model."""
    tools: tuple[str, ...] = ()
    concurrency_limit: int = 2
    burst_limit: int | None = None
    temperature: float = 0.7
    max_tokens: int = 4096
    memory: MemoryConfig = MemoryConfig()
    metadata: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The config with these JSON-like values; absent or None stands for the default, what is unknown is ignored."""
        known = _known(cls, values)
        known["tools"] = tuple(known.get("tools", ()))
        known["memory"] = MemoryConfig(**_known(MemoryConfig, known.get("memory", {})))
        return cls(**known)


@dataclass(frozen=True)
class AgentDraft:
    """What a caller may say of an agent; the server knows the rest."""

    name: str
    config: AgentConfig = AgentConfig()

    def changed(self, wanted: "AgentDraft", paths: Iterable[str]) -> "AgentDraft":
        """This draft with the values that `wanted` has at these dotted paths, such as `config.memory.top_k`."""
        return _merged(self, wanted, paths)


@dataclass(frozen=True)
class Agent:
    """One agent. `status` is what the database knows of it; whether it is busy at the moment, the bus knows."""

    id: str
    owner: Owner
    name: str
    config: AgentConfig
    status: AgentStatus
    revision: int
    """+1 with every update: of two copies the higher one is newer."""
    created_at: datetime
    updated_at: datetime

    @property
    def draft(self) -> AgentDraft:
        """The part that its owner may change."""
        return AgentDraft(self.name, self.config)


def _known(shape: type, values: Mapping[str, Any]) -> dict[str, Any]:
    names = {each.name for each in fields(shape)}
    return {name: value for name, value in values.items() if name in names and value is not None}


def _merged(current: Value, wanted: Value, paths: Iterable[str]) -> Value:
    inside: dict[str, list[str]] = {}
    for path in paths:
        name, _, rest = path.partition(".")
        inside.setdefault(name, []).append(rest)
    taken = {
        # An empty rest names the field itself, and with it everything inside.
        name: getattr(wanted, name) if "" in rests else _merged(getattr(current, name), getattr(wanted, name), rests)
        for name, rests in inside.items()
    }
    merged: Value = replace(current, **taken)  # type: ignore[type-var]  # Only dataclasses have paths inside.
    return merged
