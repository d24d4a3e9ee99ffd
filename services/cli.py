"""The `codelab` command. Heavy modules are imported by the command that needs them."""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from services.runtime.errors import StartupError
from services.runtime.ids import is_uuid, new_id
from services.runtime.settings import SERVICES, Settings

_DEVELOPMENT_TOKEN_DAYS = 30


def main() -> None:
    """Run one command. What prevents it is one line on stderr and exit 1."""
    # gRPC's own library would add a line of its own to ours, say about a taken port. Read when grpc is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    arguments = _parser().parse_args()
    try:
        arguments.run(arguments)
    except StartupError as error:
        sys.exit(f"codelab: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="codelab", description="Run CodeLab Core, or a part of it.")
    parser.add_argument("--version", action="version", version=f"codelab {_version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="run the whole suite on this machine")
    up.add_argument("--processes", action="store_true", help="one process for each service and the gateway")
    up.set_defaults(run=_up)

    serve = commands.add_parser("serve", help="run one service")
    serve.add_argument("service", choices=SERVICES)
    serve.set_defaults(run=_serve)

    gateway = commands.add_parser("gateway", help="run the HTTP gateway")
    gateway.set_defaults(run=_gateway)

    token = commands.add_parser("token", help="print a token for a user, or for a service that acts for one")
    token.add_argument("--user", metavar="UUID", help="the user; a development user of this folder if left out")
    token.add_argument("--email", help="an email address to put in a user's token")
    token.add_argument("--service", metavar="NAME", help="print a service token: NAME acts for the user")
    token.add_argument("--hours", type=float, default=24.0 * _DEVELOPMENT_TOKEN_DAYS, help="lifetime (default 30 days)")
    token.set_defaults(run=_token)
    return parser


def _up(arguments: argparse.Namespace) -> None:
    from services.runtime.process import until_stopped
    from services.runtime.telemetry import configure_logging
    from services.suite import PidFile, in_many_processes, in_one_process

    settings = Settings.load()
    configure_logging(settings, "suite")
    suite = in_many_processes if arguments.processes else in_one_process

    @asynccontextmanager
    async def running(settings: Settings) -> AsyncIterator[None]:
        async with suite(settings):
            # Written when the ports are ours: another suite's file is not for us to replace.
            with PidFile(settings.data_dir):
                print(_welcome(settings), flush=True)
                yield

    asyncio.run(until_stopped(running, settings))


def _serve(arguments: argparse.Namespace) -> None:
    from services.runtime.process import main as run

    run(arguments.service, import_module(f"services.{arguments.service}.__main__").running)


def _gateway(_: argparse.Namespace) -> None:
    from gateway.__main__ import running
    from services.runtime.process import main as run

    run("gateway", running)


def _token(arguments: argparse.Namespace) -> None:
    from services.runtime.auth import Keys, TokenMinter

    settings = Settings.load()
    user = arguments.user or _development_user(settings)
    if not is_uuid(user):
        raise StartupError(f"--user must be a UUID, such as {new_id()}")
    if arguments.hours <= 0:
        raise StartupError("--hours must be more than 0")
    minter = TokenMinter(Keys.of(settings))
    seconds = arguments.hours * 3600
    if arguments.service:
        print(minter.service_token(arguments.service, user, seconds))
    elif settings.jwt_jwks_url:
        raise StartupError("users' tokens come from the owner of JWT_JWKS_URL: they cannot be made here")
    else:
        print(minter.user_token(user, seconds, arguments.email))


def _development_user(settings: Settings) -> str:
    """The user of this data folder: made once, so that a new token finds the old projects."""
    from uuid import UUID

    from services.runtime.data_folder import DataFolder

    return str(UUID(hex=DataFolder(settings.data_dir).secret("user")[:32], version=4))


def _welcome(settings: Settings) -> str:
    from services.runtime.auth import Keys, TokenMinter
    from services.suite import base_url

    url = base_url(settings)
    model = (
        f"{settings.openai_model} at {settings.openai_base_url or 'OpenAI'}"
        if settings.openai_api_key or settings.openai_base_url
        else "built-in offline model (set OPENAI_API_KEY or OPENAI_BASE_URL for a real one)"
    )
    lines = [f"CodeLab Core {_version()} is ready.", "", f"  URL    {url}", f"  Docs   {url}/docs", f"  Model  {model}"]
    if settings.jwt_jwks_url:
        return "\n".join([*lines, "  Token  from your identity provider (JWT_JWKS_URL)", ""])
    token = TokenMinter(Keys.of(settings)).user_token(_development_user(settings), _DEVELOPMENT_TOKEN_DAYS * 24 * 3600)
    return "\n".join(
        [
            *lines,
            f"  Token  {token}",
            f"         (a development user, {_DEVELOPMENT_TOKEN_DAYS} days; `codelab token` makes others)",
            "",
            "Stop it with Ctrl-C. Try it from another terminal:",
            "",
            f"  curl -s {url}/my/projects/ \\",
            f"    -H 'Authorization: Bearer {token}' \\",
            """    -H 'Content-Type: application/json' -d '{"name": "First light"}'""",
            "",
        ]
    )


def _version() -> str:
    try:
        return version("codelab")
    except PackageNotFoundError:
        # Run from a checkout that is not installed.
        return os.environ.get("CODELAB_VERSION", "0.0.0+checkout")


if __name__ == "__main__":
    main()
