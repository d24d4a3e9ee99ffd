"""Log lines as operators read them: those of a real process, because logging is configured once."""

import json
import subprocess
import sys

import pytest

from services.runtime.telemetry import new_traceparent, trace_id, valid_traceparent

SCRIPT = """
import logging, sys, structlog
from services.runtime.settings import Settings
from services.runtime.telemetry import configure_logging

configure_logging(Settings.load({"CODELAB_LOG_FORMAT": sys.argv[1], "CODELAB_LOG_LEVEL": sys.argv[2]}), "projects")
log = structlog.get_logger()
log.debug("chatter")
log.info("project created", project_id="p7")
token = "".join(["hun", "ter2"])
try:
    raise ValueError("no")
except ValueError:
    log.exception("it broke")
logging.getLogger("library").warning("a library's warning")
logging.getLogger("library").info("a library's chatter")
"""


def lines_of(log_format: str, level: str) -> list[str]:
    command = [sys.executable, "-c", SCRIPT, log_format, level]
    process = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert process.stdout == ""
    assert "hunter2" not in process.stderr
    assert "library's warning" in process.stderr
    assert "library's chatter" not in process.stderr
    return process.stderr.splitlines()


@pytest.mark.parametrize("log_format", ["json", "auto"])
def test_lines_are_json_with_their_fields_where_nobody_watches(log_format: str) -> None:
    created, broke = [json.loads(line) for line in lines_of(log_format, "info") if line.startswith("{")]
    assert created.pop("timestamp").endswith("Z")
    assert created == {"event": "project created", "project_id": "p7", "level": "info", "process": "projects"}
    assert broke["level"] == "error"
    assert "ValueError: no" in broke["exception"]


def test_lines_on_a_console_show_no_local_variables() -> None:
    text = "\n".join(lines_of("console", "debug"))
    assert "chatter" in text
    assert "ValueError: no" in text


def test_lines_below_the_level_are_left_out() -> None:
    assert not any("project created" in line for line in lines_of("json", "error"))


def test_new_trace_is_valid_and_its_id_is_shared() -> None:
    traceparent = new_traceparent()
    assert valid_traceparent(traceparent) == traceparent
    assert trace_id(traceparent) == traceparent.split("-")[1]
    assert new_traceparent() != traceparent


GOOD = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        GOOD[:-1],
        GOOD + "0",
        "01" + GOOD[2:],
        GOOD.upper(),
        GOOD.replace("-", "_"),
        "00-" + "0" * 32 + GOOD[35:],
    ],
    ids=["none", "empty", "short", "long", "version", "upper", "separator", "zero"],
)
def test_what_is_no_traceparent_is_none(value: str | None) -> None:
    assert valid_traceparent(value) is None
