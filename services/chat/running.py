"""The command: connect, then one exchange, or a prompt until the user leaves."""

import asyncio
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc

from codelab_client import ApiError, Client
from codelab_client.tokens import Token
from services.chat.commands import Commands, Leave
from services.chat.conversation import Conversation, NoSuchThing, is_transport
from services.chat.deciding import Means
from services.chat.exchange import Outcome, exchange
from services.chat.keyboard import Keyboard
from services.chat.prompt import Prompt
from services.chat.screen import Screen
from services.runtime.auth import Keys, TokenMinter
from services.runtime.data_folder import DataFolder
from services.runtime.dotenv import read_dotenv
from services.runtime.errors import StartupError
from services.runtime.settings import Settings
from services.runtime.version import package_version

_TOKEN_SECONDS = 3600.0
_TOKEN = "CODELAB_TOKEN"


@dataclass(frozen=True)
class Choice:
    """What the command line says: names or ids, None where it leaves them open; the message, empty to be asked."""

    project: str | None
    agent: str | None
    session: str | None
    message: str


def run(settings: Settings, choice: Choice) -> int:
    """Chat; return the exit code. Raise StartupError if there is nobody, or nothing, to talk to."""
    screen = Screen(sys.stdout, sys.stderr)
    message = choice.message
    if not message and not sys.stdin.isatty():
        message = sys.stdin.read().strip()
        if not message:
            raise StartupError("there is nothing to send: write a message behind `codelab chat`, or pipe one into it")
    # One loop for all, though it stands still while the user types: the connections are its own.
    with asyncio.Runner() as runner:
        client = runner.run(_connected(settings))
        try:
            conversation = runner.run(_opened(settings, client, choice))
            means = _means(settings, screen)
            if message:
                return runner.run(exchange(conversation, screen, means, message)).value
            return _talk(runner, conversation, screen, means)
        finally:
            runner.run(client.close())


def _means(settings: Settings, screen: Screen) -> Means:
    """Nobody is asked who could not see the question, or whose answer could be another program's."""
    keyboard = Keyboard(sys.stdin.fileno()) if screen.is_terminal and sys.stdin.isatty() else None
    command = sys.argv[0] if Path(sys.argv[0]).name == "codelab" else "codelab"
    token = f"${_TOKEN}" if os.environ.get(_TOKEN, "").strip() else f"$({shlex.quote(command)} token)"
    return Means(keyboard, settings.local_url, token)


def _talk(runner: asyncio.Runner, conversation: Conversation, screen: Screen, means: Means) -> int:
    commands = Commands(conversation, screen, means)
    prompt = Prompt(screen.style, commands.names)
    name, agent = conversation.project.name, conversation.agent.name
    screen.aside(f"CodeLab {package_version()}: you talk to {agent} in {name}. /help lists commands, Ctrl-D leaves.")
    if conversation.session is not None:
        runner.run(commands.run("/history"))
    while True:
        try:
            text = prompt.read()
            if text.startswith("/") and not text.startswith("//"):
                runner.run(commands.run(text))
            elif text:
                text = text.removeprefix("/") if text.startswith("//") else text
                runner.run(exchange(conversation, screen, means, text))
                screen.line()
        except KeyboardInterrupt:
            # What was typed is not sent, and a command that takes too long is left alone.
            screen.line()
        except EOFError:
            screen.line()
            return Outcome.ANSWERED.value
        except Leave:
            return Outcome.ANSWERED.value


async def _connected(settings: Settings) -> Client:
    try:
        return Client(",".join(settings.backend_addresses), token=_token(settings, {**read_dotenv(), **os.environ}))
    except ValueError as error:
        raise StartupError(f"CODELAB_BACKENDS: {error}") from None


async def _opened(settings: Settings, client: Client, choice: Choice) -> Conversation:
    try:
        return await Conversation.open(client, choice.project, choice.agent, choice.session)
    except NoSuchThing as error:
        raise StartupError(str(error)) from None
    except ApiError as error:
        if is_transport(error):
            where = settings.backend_addresses[0]
            raise StartupError(
                f"no suite answers at {where}: start one with `codelab up` (or `make up`), or set CODELAB_BACKENDS"
            ) from None
        if error.code is grpc.StatusCode.UNAUTHENTICATED:
            raise StartupError(
                f"the suite refuses the token ({error.detail}): use the settings it was started with, or set {_TOKEN}"
            ) from None
        raise StartupError(error.detail) from None


def _token(settings: Settings, environ: Mapping[str, str]) -> Token:
    """The token that was given, or what makes the development user's."""
    if given := environ.get(_TOKEN, "").strip():
        return given
    if settings.jwt_jwks_url:
        raise StartupError(f"users' tokens come from the owner of JWT_JWKS_URL: set {_TOKEN} to one")
    user, minter = DataFolder(settings.data_dir).development_user(), TokenMinter(Keys.of(settings))
    return lambda: minter.user_token(user, _TOKEN_SECONDS)
