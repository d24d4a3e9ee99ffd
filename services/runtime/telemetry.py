"""Structured logs, and the trace id that ties the lines of one request together across processes."""

import logging
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

import grpc
import structlog

from services.runtime.interceptors import Call, Context, Interceptor
from services.runtime.settings import Settings

log = structlog.get_logger()

_traceparent: ContextVar[str] = ContextVar("traceparent", default="")
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure_logging(settings: Settings, process: str) -> None:
    """Send every log line to stderr with the name of the process. Call once, first thing."""
    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    # Plain: where `rich` is installed, the default prints local variables, and with them prompts and tokens.
    pretty = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer = pretty if console else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if not console else _keep,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.log_level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    # Libraries log through the standard library; their warnings are worth a line, their chatter is not.
    logging.basicConfig(
        level=logging.WARNING,
        stream=sys.stderr,
        format="%(levelname)s %(name)s %(message)s",
    )


def _keep(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return event


def new_traceparent() -> str:
    """A W3C `traceparent` that begins a trace."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def valid_traceparent(value: str | None) -> str | None:
    """`value` if it is a W3C traceparent of a version we know, else None."""
    if value is None or len(value) != 55 or not value.startswith("00-") or value[35] != "-" or value[52] != "-":
        return None
    hexadecimal = value[3:35] + value[36:52] + value[53:]
    return value if all(each in "0123456789abcdef" for each in hexadecimal) and int(value[3:35], 16) else None


def trace_id(traceparent: str) -> str:
    """The 32 hex digits that all spans of a trace share."""
    return traceparent[3:35]


def current_traceparent() -> str:
    """The traceparent of the call being served, or a new one: pass it on with every outgoing call."""
    return _traceparent.get() or new_traceparent()


class TelemetryInterceptor(Interceptor):
    """Takes or begins the trace, and writes one line a call at debug level."""

    @asynccontextmanager
    async def around(self, call: Call, context: Context) -> AsyncIterator[None]:
        """Bind the trace id, time the call."""
        traceparent = valid_traceparent(call.text("traceparent")) or new_traceparent()
        _traceparent.set(traceparent)
        structlog.contextvars.bind_contextvars(trace_id=trace_id(traceparent))
        begun = time.perf_counter()
        try:
            yield
        finally:
            code = context.code()
            log.debug(
                "call served",
                method=call.method,
                code=code.name if isinstance(code, grpc.StatusCode) else "OK",
                milliseconds=round((time.perf_counter() - begun) * 1000, 1),
            )
