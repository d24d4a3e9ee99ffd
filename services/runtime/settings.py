"""The settings of a process, read once from the environment and the file `.env`."""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from services.runtime.errors import StartupError

SERVICES = ("projects", "agents", "orchestrator", "streams")
"""The services in the order of their ports, counted from `CODELAB_GRPC_PORT_BASE`."""

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]

_OTHERS = frozenset({"CODELAB_TOKEN", "CODELAB_URL", "CODELAB_REQUIRE_ALL", "CODELAB_TESTS", "CODELAB_TRUTH_EXAMPLES"})
"""Variables of clients and tests."""
_WORDS = {
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
    "bool_parsing": "must be true or false",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
}
"""What pydantic finds, said to those who start a server."""


def _env(name: str, default: Any) -> Any:
    return Field(default=default, validation_alias=name)


class Settings(BaseModel):
    """Every setting with its unit and why. `load` is the way to make one; a wrong value never gets past it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    data_dir: Path = _env("CODELAB_DATA_DIR", Path(".codelab"))
    """Where the embedded backends and the development secrets live."""
    host: str = _env("CODELAB_HOST", "127.0.0.1")
    """Where servers listen and, unless told otherwise, where peers are looked for."""
    http_port: Port = _env("CODELAB_HTTP_PORT", 8000)
    grpc_port_base: Port = _env("CODELAB_GRPC_PORT_BASE", 9101)
    """Port of projects; agents, orchestrator and streams follow."""
    backends: str = _env("CODELAB_BACKENDS", "")
    """Comma-separated `host:port` of the services. Services among themselves read four, in the order of SERVICES; the
    gateway takes any number in any order. Replicas of one service are joined by `+`, by their IPv4 addresses. Empty:
    all on `host` from `grpc_port_base` on."""
    reflection: bool = _env("CODELAB_REFLECTION", True)
    """Whether servers answer reflection. The gateway needs it."""
    log_level: Literal["debug", "info", "warning", "error"] = _env("CODELAB_LOG_LEVEL", "info")
    log_format: Literal["auto", "console", "json"] = _env("CODELAB_LOG_FORMAT", "auto")
    """`auto`: coloured lines on a terminal, JSON elsewhere."""
    drain_seconds: Seconds = _env("CODELAB_DRAIN_SECONDS", 10.0)
    """How long a stopping server lets calls finish."""

    database_url: str = _env("DATABASE_URL", "")
    """`postgresql://user:password@host:port/name`, with a schema for each service. Empty: SQLite, one file a service in
    the data folder."""
    database_connections: Annotated[int, Field(ge=1, le=1000)] = _env("CODELAB_DATABASE_CONNECTIONS", 10)
    """Most connections that each process of a service holds to PostgreSQL, which itself admits 100 by default."""
    redis_url: str = _env("REDIS_URL", "")
    """`redis://user:password@host:port/number`, or `rediss://` over TLS. It carries the agents' queues and slots, the
    sessions' events, and who may watch them, so that replicas share these; caches are still each process's own."""
    qdrant_url: str = _env("QDRANT_URL", "")
    """Where the agents' memories are, as `http://host:port`; without a port it is 6333."""
    qdrant_api_key: str = _env("QDRANT_API_KEY", "")

    jwt_secret_key: str = _env("JWT_SECRET_KEY", "")
    """Signs user tokens (HS256). Empty: made once in the data folder."""
    jwt_jwks_url: str = _env("JWT_JWKS_URL", "")
    """Verifies user tokens by public keys (RS256, ES256, EdDSA) instead."""
    jwt_jwks_cache_seconds: Seconds = _env("JWT_JWKS_CACHE_SECONDS", 300.0)
    """How long a published key is trusted without asking again: the longest that a removed one lives on. A sixtieth of
    it is the least time between fetches, and so the longest until a token of a new key is admitted."""
    jwt_issuer: str = _env("JWT_ISSUER", "")
    jwt_audience: str = _env("JWT_AUDIENCE", "")
    service_token_key: str = _env("SERVICE_TOKEN_KEY", "")
    """Signs calls between services. Empty: made once in the data folder."""

    ticket_seconds: Annotated[float, Field(ge=1, le=86_400)] = _env("CODELAB_TICKET_SECONDS", 600.0)
    """How long a ticket for an event stream opens it: as long as a browser may be away and come back by itself. Never
    longer than the token it was made with."""

    openai_api_key: str = _env("OPENAI_API_KEY", "")
    openai_base_url: str = _env("OPENAI_BASE_URL", "")
    openai_model: str = _env("OPENAI_MODEL", "gpt-4o-mini")
    """Model of agents that name none."""
    embedding_model: str = _env("EMBEDDING_MODEL", "minilm")
    """What memories are found by. `minilm`: the bundled model. `hashing`: words, not meaning. Any other name: a model
    of the OpenAI-compatible endpoint. Memories that another model embedded are refused until they are migrated."""
    model_timeout_seconds: Seconds = _env("CODELAB_MODEL_TIMEOUT_SECONDS", 60.0)
    """Longest silence of the model: before its first token and between two."""
    model_retries: Annotated[int, Field(ge=0, le=10)] = _env("CODELAB_MODEL_RETRIES", 2)
    """Times a call that the model refused with 429 or 5xx is repeated, before the first token only."""

    lease_seconds: Annotated[float, Field(ge=0.2, le=3600)] = _env("CODELAB_LEASE_SECONDS", 5.0)
    """How long a run, or a place at an agent, stays with a process that no longer renews: the time to takeover after a
    crash. The same for every replica. So short that nobody can renew in time, every run would be abandoned."""
    user_active_runs: Annotated[int, Field(ge=1, le=100_000)] = _env("CODELAB_USER_ACTIVE_RUNS", 50)
    """Most runs of one user that are active at once, over all projects; one more is refused with 429."""
    user_queued_runs: Annotated[int, Field(ge=0, le=100_000)] = _env("CODELAB_USER_QUEUED_RUNS", 200)
    """Most messages of one user that wait for their sessions, over all projects; one more is refused with 429."""
    run_tasks: Annotated[int, Field(ge=1, le=50)] = _env("CODELAB_RUN_TASKS", 12)
    """Most tasks of a plan: a larger one is sent back to the model, and then done by one agent."""
    run_model_calls: Annotated[int, Field(ge=1, le=1_000_000)] = _env("CODELAB_RUN_MODEL_CALLS", 60)
    """Most calls to the model in one run, planning included: the run is stopped, and answers with what it has."""
    run_tokens: Annotated[int, Field(ge=1, le=1_000_000_000)] = _env("CODELAB_RUN_TOKENS", 500_000)
    """Most tokens of one run, sent and produced, also in mid-answer: stopped as above."""
    run_seconds: Seconds = _env("CODELAB_RUN_SECONDS", 900.0)
    """Longest that one run may take, without the time in which it waits for its user: stopped as above."""
    approval_seconds: Annotated[float, Field(gt=0, le=30 * 86_400)] = _env("CODELAB_APPROVAL_SECONDS", 300.0)
    """How long a question waits for its user: then it counts as rejected, and the run goes on."""
    task_steps: Annotated[int, Field(ge=1, le=1_000)] = _env("CODELAB_TASK_STEPS", 25)
    """Most times that a task calls tools: then its agent has to answer with what it has."""
    workspaces_dir: str = _env("CODELAB_WORKSPACES_DIR", "")
    """Where the files of projects are, which agents work on: of replicas, a folder that they share. Empty:
    `workspaces` in the data folder."""
    command_seconds: Annotated[float, Field(gt=0, le=3_600)] = _env("CODELAB_COMMAND_SECONDS", 120.0)
    """Longest that one command of an agent may run."""
    command_memory_mb: Annotated[int, Field(ge=64, le=1_000_000)] = _env("CODELAB_COMMAND_MEMORY_MB", 512)
    """Most memory of one command with all it starts, in MiB."""
    workspace_mb: Annotated[int, Field(ge=1, le=1_000_000)] = _env("CODELAB_WORKSPACE_MB", 256)
    """Most that the files of one project may take, in MiB."""
    heartbeat_seconds: Seconds = _env("CODELAB_HEARTBEAT_SECONDS", 15.0)
    """Time between heartbeats of an event stream: below the idle timeouts of common proxies."""
    user_streams: Annotated[int, Field(ge=1, le=1_000_000)] = _env("CODELAB_USER_STREAMS", 1_000)
    """Most event streams of one user that are open at once on each replica of streams; one more is refused with 429."""
    connection_seconds: Annotated[float, Field(ge=1, le=1_000_000)] = _env("CODELAB_CONNECTION_SECONDS", 1_800.0)
    """How old a connection to a service grows before its client is asked for a new one, which is how load finds new
    replicas: calls that run go on, event streams end and are resumed. Up to a tenth more or less, not all at once."""
    send_deadline_seconds: Seconds = _env("CODELAB_SEND_DEADLINE_SECONDS", 120.0)
    """How long SendMessage waits for an answer."""

    cors_origins: str = _env("CORS_ORIGINS", "")
    """Comma-separated origins that browsers may call from; `*` is any."""

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _in_any_case(cls, value: str) -> str:
        return value.lower()

    @field_validator("database_url")
    @classmethod
    def _database_is_known(cls, value: str) -> str:
        if value and not value.startswith(("postgresql://", "postgres://")):
            raise ValueError(
                "must begin with postgresql:// (to use SQLite, unset it and set CODELAB_DATA_DIR: one file a service)"
            )
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_is_an_address(cls, value: str) -> str:
        if value and not _is_redis_url(value):
            raise ValueError("must be redis://host:port/number or rediss://…, without a query")
        return value

    @field_validator("jwt_secret_key", "service_token_key")
    @classmethod
    def _key_is_long_enough(cls, value: str) -> str:
        if value and len(value.encode()) < 32:
            raise ValueError("must have at least 32 bytes")
        return value

    @field_validator("jwt_audience")
    @classmethod
    def _audience_is_not_ours(cls, value: str) -> str:
        # Brings grpc, which must not be there before `codelab` has told it to be quiet.
        from services.runtime.claims import OWN_AUDIENCES

        if value in OWN_AUDIENCES:
            raise ValueError("is reserved for tokens that are not users'")
        return value

    @field_validator("openai_base_url", "jwt_jwks_url", "qdrant_url")
    @classmethod
    def _url_is_http(cls, value: str) -> str:
        if value and not _is_http_url(value):
            raise ValueError("must be an http:// or https:// URL")
        return value

    @field_validator("backends")
    @classmethod
    def _backends_are_addresses(cls, value: str) -> str:
        for listed in filter(None, (each.strip() for each in value.split(","))):
            replicas = listed.split("+")
            for address in replicas:
                host, _, port = address.rpartition(":")
                if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
                    raise ValueError("each address must be host:port")
                if len(replicas) > 1 and not _is_ipv4(host):
                    raise ValueError("replicas joined by + must each be an IPv4 address with its port")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins_are_origins(cls, value: str) -> str:
        for origin in filter(None, (each.strip() for each in value.split(","))):
            if origin != "*" and ("://" not in origin or origin.count("/") != 2):
                raise ValueError("each origin must be `*` or one such as https://app.example.com")
        return value

    @model_validator(mode="after")
    def _users_are_no_services(self) -> Self:
        if self.jwt_secret_key and self.jwt_secret_key == self.service_token_key:
            raise ValueError(
                "SERVICE_TOKEN_KEY: must not be JWT_SECRET_KEY: who signs for users would sign for services"
            )
        return self

    @model_validator(mode="after")
    def _ports_do_not_meet(self) -> Self:
        if self.grpc_port_base <= self.http_port < self.grpc_port_base + len(SERVICES):
            raise ValueError("CODELAB_HTTP_PORT lies among the services' ports from CODELAB_GRPC_PORT_BASE on")
        if self.grpc_port_base + len(SERVICES) > 65536:
            raise ValueError("CODELAB_GRPC_PORT_BASE leaves no room for four ports below 65536")
        return self

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ, dotenv: Mapping[str, str] | None = None) -> "Settings":
        """Read the environment, and what only `dotenv` has; an empty variable counts as unset.

        Raise StartupError with one line on a wrong value.
        """
        dotenv = {name: value for name, value in (dotenv or {}).items() if name not in environ}
        given = {**dotenv, **environ}
        try:
            return cls.model_validate({name: value.strip() for name, value in given.items() if value.strip()})
        except ValidationError as error:
            raise StartupError("; ".join(_line(each, dotenv) for each in error.errors(include_url=False))) from None

    @property
    def url_host(self) -> str:
        """`host` as it stands before a port: an IPv6 address in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def local_url(self) -> str:
        """Where a browser on this machine finds the gateway."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.url_host
        return f"http://{host}:{self.http_port}"

    def listen_address(self, service: str) -> str:
        """`host:port` that a service listens on."""
        return f"{self.url_host}:{self.grpc_port_base + SERVICES.index(service)}"

    def peer_address(self, service: str) -> str:
        """`host:port` where the other services find this one. Raise StartupError if `backends` does not say."""
        listed = self.backend_addresses
        if len(listed) != len(SERVICES):
            raise StartupError(f"CODELAB_BACKENDS: services need {len(SERVICES)} addresses, of {', '.join(SERVICES)}")
        return listed[SERVICES.index(service)]

    @property
    def backend_addresses(self) -> list[str]:
        """`host:port` of every service, as the gateway uses them."""
        listed = [each.strip() for each in self.backends.split(",") if each.strip()]
        return listed or [self.listen_address(service) for service in SERVICES]

    @property
    def cors_origin_list(self) -> list[str]:
        """The origins of `cors_origins`."""
        return [each.strip() for each in self.cors_origins.split(",") if each.strip()]


def unknown_variables(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables that look like settings and are none, each with the setting that is probably meant, or nothing."""
    known = [str(field.validation_alias) for field in Settings.model_fields.values()]
    unknown = {name for name in environ if name.startswith("CODELAB_")} - _OTHERS - set(known)
    return {name: next(iter(get_close_matches(name, known, n=1, cutoff=0.8)), "") for name in sorted(unknown)}


def _is_ipv4(host: str) -> bool:
    try:
        return bool(IPv4Address(host))
    except ValueError:
        return False


def _is_http_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_redis_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        number = parts.path.removeprefix("/")
        known = parts.scheme in ("redis", "rediss") and not parts.query and not parts.fragment
        return known and bool(parts.hostname) and parts.port != 0 and (not number or number.isdecimal())
    except ValueError:
        return False


def _line(error: ErrorDetails, dotenv: Mapping[str, str]) -> str:
    message = error["msg"].removeprefix("Value error, ")
    name = ".".join(str(part) for part in error["loc"])
    if not name:
        return message
    name = f"{name} in .env" if name in dotenv else name
    # Never the value: it may be a secret.
    if error["type"] in _WORDS:
        return f"{name}: {_WORDS[error['type']].format_map(error.get('ctx', {}))}"
    return f"{name}: {message.replace('Input should be', 'must be')}"
