"""A wrong setting stops the start with one line that names the variable, and never shows its value."""

import pytest
from pydantic import ValidationError

from services.runtime.errors import StartupError
from services.runtime.settings import SERVICES, Settings, unknown_variables

WRONG = [
    ("CODELAB_USER_ACTIVE_RUNS", "0"),
    ("CODELAB_USER_QUEUED_RUNS", "-1"),
    ("CODELAB_RUN_TASKS", "0"),
    ("CODELAB_RUN_MODEL_CALLS", "0"),
    ("CODELAB_RUN_TOKENS", "0"),
    ("CODELAB_RUN_SECONDS", "0"),
    ("CODELAB_APPROVAL_SECONDS", "0"),
    ("CODELAB_APPROVAL_SECONDS", "inf"),
    ("CODELAB_TASK_STEPS", "0"),
    ("CODELAB_COMMAND_SECONDS", "-1"),
    ("CODELAB_COMMAND_SECONDS", "3601"),
    ("CODELAB_COMMAND_MEMORY_MB", "63"),
    ("CODELAB_COMMAND_MEMORY_MB", "0.5"),
    ("CODELAB_WORKSPACE_MB", "0"),
    ("CODELAB_USER_STREAMS", "0"),
    ("CODELAB_CONNECTION_SECONDS", "0.1"),
    ("CODELAB_CONNECTION_SECONDS", "1e9"),
    ("CODELAB_TICKET_SECONDS", "0.5"),
    ("CODELAB_TICKET_SECONDS", "inf"),
    ("CODELAB_HTTP_PORT", "eight"),
    ("CODELAB_HTTP_PORT", "0"),
    ("CODELAB_HTTP_PORT", "65536"),
    ("CODELAB_HTTP_PORT", "9103"),
    ("CODELAB_HTTP_PORT", "80.5"),
    ("CODELAB_GRPC_PORT_BASE", "-1"),
    ("CODELAB_GRPC_PORT_BASE", "65534"),
    ("CODELAB_GRPC_PORT_BASE", "7998"),
    ("CODELAB_BACKENDS", "secret-host"),
    ("CODELAB_BACKENDS", "10.0.0.1:9101,10.0.0.2:http"),
    ("CODELAB_BACKENDS", ":9101"),
    ("CODELAB_BACKENDS", "10.0.0.1:99999"),
    ("CODELAB_REFLECTION", "maybe"),
    ("CODELAB_LOG_LEVEL", "loud"),
    ("CODELAB_LOG_FORMAT", "xml"),
    ("CODELAB_DRAIN_SECONDS", "0"),
    ("CODELAB_DRAIN_SECONDS", "-3"),
    ("CODELAB_DRAIN_SECONDS", "nan"),
    ("CODELAB_DRAIN_SECONDS", "inf"),
    ("DATABASE_URL", "mysql://me:hunter2@db/codelab"),
    ("DATABASE_URL", "sqlite:///here.db"),
    ("CODELAB_DATABASE_CONNECTIONS", "0"),
    ("REDIS_URL", "cache:6379"),
    ("REDIS_URL", "http://:hunter2@cache"),
    ("REDIS_URL", "redis://:hunter2@:6379"),
    ("REDIS_URL", "redis://:hunter2@cache:port"),
    ("REDIS_URL", "redis://:hunter2@cache/first"),
    ("REDIS_URL", "rediss://:hunter2@cache/0?protocol=3"),
    ("QDRANT_URL", "vectors:6333"),
    ("QDRANT_URL", "redis://vectors"),
    ("JWT_SECRET_KEY", "too-short"),
    ("SERVICE_TOKEN_KEY", "too-short-too"),
    ("JWT_JWKS_URL", "keys.example.com"),
    ("JWT_JWKS_URL", "https://:443"),
    ("JWT_JWKS_CACHE_SECONDS", "0"),
    ("JWT_AUDIENCE", "codelab-internal"),
    ("JWT_AUDIENCE", "codelab-stream"),
    ("OPENAI_BASE_URL", "localhost:11434"),
    ("OPENAI_BASE_URL", "http:///v1"),
    ("OPENAI_BASE_URL", "http://models:port/v1"),
    ("CODELAB_MODEL_TIMEOUT_SECONDS", "soon"),
    ("CODELAB_MODEL_RETRIES", "11"),
    ("CODELAB_MODEL_RETRIES", "-1"),
    ("CODELAB_LEASE_SECONDS", "0"),
    ("CODELAB_LEASE_SECONDS", "0.01"),
    ("CODELAB_LEASE_SECONDS", "1e300"),
    ("CODELAB_HEARTBEAT_SECONDS", "x"),
    ("CODELAB_SEND_DEADLINE_SECONDS", "0"),
    ("CORS_ORIGINS", "shop.example"),
    ("CORS_ORIGINS", "https://shop.example/path"),
]

ANY_TEXT = {
    "CODELAB_DATA_DIR",
    "CODELAB_HOST",
    "CODELAB_WORKSPACES_DIR",
    "JWT_ISSUER",
    "OPENAI_API_KEY",
    "OPENAI_MODEL",
    "QDRANT_API_KEY",
    "EMBEDDING_MODEL",
}
"""Variables of which no text is wrong in itself."""


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_wrong_value_is_one_line_that_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(StartupError) as caught:
        Settings.load({name: value})
    line = str(caught.value)
    assert name in line
    assert "\n" not in line
    # Numbers may well be part of a sentence about what is permitted.
    assert value not in line or value.isdigit()
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("CODELAB_HTTP_PORT", "80.5", "must be a whole number"),
        ("CODELAB_HTTP_PORT", "0", "must be at least 1"),
        ("CODELAB_MODEL_RETRIES", "11", "must be at most 10"),
        ("CODELAB_LEASE_SECONDS", "soon", "must be a number"),
        ("CODELAB_DRAIN_SECONDS", "0", "must be more than 0"),
        ("CODELAB_LEASE_SECONDS", "0", "must be at least 0.2"),
        ("CODELAB_LEASE_SECONDS", "86400", "must be at most 3600"),
        ("CODELAB_DRAIN_SECONDS", "inf", "must be a finite number"),
        ("CODELAB_REFLECTION", "maybe", "must be true or false"),
        ("CODELAB_LOG_FORMAT", "xml", "must be 'auto', 'console' or 'json'"),
    ],
)
def test_line_says_what_the_value_must_be(name: str, value: str, words: str) -> None:
    with pytest.raises(StartupError) as caught:
        Settings.load({name: value})
    assert str(caught.value) == f"{name}: {words}"


def test_variables_that_look_like_settings_are_found_with_what_is_meant() -> None:
    known = [str(field.validation_alias) for field in Settings.model_fields.values()]
    unknown = {"CODELAB_HTP_PORT": "CODELAB_HTTP_PORT", "CODELAB_DATA_DIRS": "CODELAB_DATA_DIR", "CODELAB_MOOD": ""}
    environ = dict.fromkeys([*known, *unknown, "CODELAB_TOKEN", "PATH", "OPENAI_ORGANIZATION"], "x")
    assert unknown_variables(environ) == unknown


def test_every_variable_is_tried_with_a_wrong_value() -> None:
    names = {field.validation_alias for field in Settings.model_fields.values()}
    assert names - ANY_TEXT == {name for name, _ in WRONG}


def test_users_tokens_and_services_are_signed_with_two_keys() -> None:
    with pytest.raises(StartupError, match="SERVICE_TOKEN_KEY") as caught:
        Settings.load({"JWT_SECRET_KEY": "k" * 32, "SERVICE_TOKEN_KEY": "k" * 32})
    assert "kkk" not in str(caught.value)


def test_all_wrong_values_are_named_at_once() -> None:
    with pytest.raises(StartupError, match=r"CODELAB_LOG_LEVEL.*; CODELAB_MODEL_RETRIES"):
        Settings.load({"CODELAB_LOG_LEVEL": "loud", "CODELAB_MODEL_RETRIES": "many"})


def test_empty_and_unknown_variables_change_nothing() -> None:
    environ = dict.fromkeys((name for name, _ in WRONG), " ")
    assert Settings.load({**environ, "PATH": "/bin", "CODELAB_UNKNOWN": "x"}) == Settings.load({})


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings.load({}).http_port = 1


def test_services_are_found_in_the_order_of_their_ports() -> None:
    settings = Settings.load({"CODELAB_GRPC_PORT_BASE": "7000", "CODELAB_HOST": "::1"})
    assert [settings.peer_address(each) for each in SERVICES] == settings.backend_addresses
    assert settings.listen_address("orchestrator") == "[::1]:7002"


def test_services_are_found_where_backends_say() -> None:
    settings = Settings.load({"CODELAB_BACKENDS": " p:1, a:2,o:3 ,s:4,"})
    assert [settings.peer_address(each) for each in SERVICES] == ["p:1", "a:2", "o:3", "s:4"]
    assert settings.listen_address("projects") == "127.0.0.1:9101"


def test_service_refuses_another_number_of_backends_than_there_are_services() -> None:
    with pytest.raises(StartupError, match="CODELAB_BACKENDS"):
        Settings.load({"CODELAB_BACKENDS": "x:1,y:2"}).peer_address("agents")


def test_level_and_format_of_logs_are_taken_in_any_case() -> None:
    settings = Settings.load({"CODELAB_LOG_LEVEL": "DEBUG", "CODELAB_LOG_FORMAT": "Json"})
    assert (settings.log_level, settings.log_format) == ("debug", "json")


def test_gateway_takes_any_number_of_backends() -> None:
    assert Settings.load({"CODELAB_BACKENDS": "x:1,y:2"}).backend_addresses == ["x:1", "y:2"]


def test_service_may_have_replicas() -> None:
    settings = Settings.load({"CODELAB_BACKENDS": "p:1,127.0.0.1:2+127.0.0.1:22,o:3,s:4"})
    assert settings.peer_address("agents") == "127.0.0.1:2+127.0.0.1:22"


@pytest.mark.parametrize(
    "backends", ["p:1,a:2+b:2,o:3,s:4", "127.0.0.1:1+", "127.0.0.1:1+127.0.0.1", "1.2.3:1+1.2.3.4:1"]
)
def test_replica_without_an_address_of_its_own_is_refused(backends: str) -> None:
    with pytest.raises(StartupError, match="CODELAB_BACKENDS: "):
        Settings.load({"CODELAB_BACKENDS": backends})


@pytest.mark.parametrize("url", ["http://vectors:6333", "https://vectors.example/under/a/path"])
def test_memories_may_be_on_a_qdrant_server(url: str) -> None:
    settings = Settings.load({"QDRANT_URL": url, "QDRANT_API_KEY": "key"})
    assert (settings.qdrant_url, settings.qdrant_api_key) == (url, "key")


def test_origins_are_listed() -> None:
    assert Settings.load({"CORS_ORIGINS": "https://a.example, *"}).cors_origin_list == ["https://a.example", "*"]
