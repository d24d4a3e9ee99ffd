"""The `codelab` command. Heavy modules are imported by the command that needs them."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from importlib import import_module

from services.runtime.errors import StartupError
from services.runtime.ids import is_uuid, new_id
from services.runtime.settings import SERVICES, Settings
from services.runtime.version import package_version

_DEVELOPMENT_TOKEN_DAYS = 30
# Ten years. Beyond a point a time of expiry is a number that other software cannot read.
_LONGEST_TOKEN_HOURS = 87_600


def main() -> None:
    """Run one command. What prevents it is one line on stderr and exit 1."""
    # gRPC's own library would add a line of its own to ours, say about a taken port. Read when grpc is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    arguments = _parser().parse_args()
    try:
        arguments.run(arguments)
    except StartupError as error:
        sys.exit(f"codelab: {error}")
    except KeyboardInterrupt:
        # Ctrl-C before the command took signals over: as a shell reports it, and without a traceback.
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        # Who reads has seen enough, as `head` has. Python would try to write the rest when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="codelab", description="Run CodeLab Core, or a part of it.")
    parser.add_argument("--version", action="version", version=f"codelab {package_version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, what: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")

    up = command("up", "run the whole suite on this machine")
    up.add_argument("--processes", action="store_true", help="one process for each service and the gateway")
    up.set_defaults(run=_up)

    chat = command("chat", "talk to an agent of the running suite")
    chat.add_argument("message", nargs="*", metavar="MESSAGE", help="send this, print the answer and exit")
    chat.add_argument("--project", metavar="NAME", help="a project, by name or id (default: Chat, made if missing)")
    chat.add_argument("--agent", metavar="NAME", help="an agent, by name or id (default: CodeAssistant)")
    chat.add_argument("--session", metavar="ID", help="go on in this session (default: a new one)")
    chat.epilog = (
        "At a terminal it asks before an agent does what needs your approval. Where nobody can be asked it approves"
        " nothing: it says what waits, how to decide it, and exits with 3. Other exit codes: 0 answered, 1 failed, 130"
        " stopped by Ctrl-C."
    )
    chat.set_defaults(run=_chat)

    doctor = command("doctor", "say what does not work, and how to mend it")
    doctor.add_argument("--json", action="store_true", help="an array of objects, for programs")
    doctor.set_defaults(run=_doctor)

    token = command("token", "print a token for a user, or for a service that acts for one")
    token.add_argument("--user", metavar="UUID", help="the user (default: the development user of this data folder)")
    token.add_argument("--email", help="an email address to put in a user's token")
    token.add_argument("--service", metavar="NAME", help="print a service token: NAME acts for the user")
    token.add_argument("--hours", type=float, default=24.0 * _DEVELOPMENT_TOKEN_DAYS, help="lifetime (default 30 days)")
    token.set_defaults(run=_token)

    migrate = command("migrate", "bring every database to the schema that this version needs")
    migrate.add_argument("--check", action="store_true", help="change nothing; fail if there is something to do")
    migrate.set_defaults(run=_migrate)

    memory = command("memory", "care for what agents remember")
    of_memory = memory.add_subparsers(required=True, metavar="COMMAND")
    what = "embed anew what another model than the one that is set now embedded"
    memory_migrate = of_memory.add_parser("migrate", help=what, description=f"{what.capitalize()}.")
    memory_migrate.set_defaults(run=_memory_migrate)

    serve = command("serve", "run one service")
    serve.add_argument("service", choices=SERVICES)
    serve.set_defaults(run=_serve)

    gateway = command("gateway", "run the HTTP gateway")
    gateway.set_defaults(run=_gateway)
    return parser


def _up(arguments: argparse.Namespace) -> None:
    from services.runtime import event_loop
    from services.runtime.process import configured, until_stopped
    from services.suite import claimed, in_many_processes, in_one_process

    settings = configured("suite")
    suite = in_many_processes if arguments.processes else in_one_process

    @asynccontextmanager
    async def running(settings: Settings) -> AsyncIterator[None]:
        with claimed(settings):
            async with suite(settings):
                print(_welcome(settings), flush=True)
                yield

    event_loop.run(until_stopped(running, settings))


def _chat(arguments: argparse.Namespace) -> None:
    from services.chat.running import Choice, run
    from services.runtime.process import configured

    settings = configured("chat")
    choice = Choice(arguments.project, arguments.agent, arguments.session, " ".join(arguments.message).strip())
    if code := run(settings, choice):
        sys.exit(code)


def _serve(arguments: argparse.Namespace) -> None:
    from services.runtime.process import main as run

    run(arguments.service, import_module(f"services.{arguments.service}.__main__").running)


def _gateway(_: argparse.Namespace) -> None:
    from gateway.__main__ import running
    from services.runtime.process import main as run

    run("gateway", running)


def _migrate(arguments: argparse.Namespace) -> None:
    from services.runtime.databases import migrate
    from services.runtime.process import configured

    settings = configured("migrate")
    for line in asyncio.run(migrate(settings, check=arguments.check)):
        print(line)


def _memory_migrate(_: argparse.Namespace) -> None:
    from services.agents.memory.migrating import migrating
    from services.runtime.errors import CodelabError
    from services.runtime.process import configured
    from services.terminal import progress_bar

    settings = configured("memory")

    async def show() -> None:
        async with aclosing(migrating(settings)) as steps:
            with progress_bar(sys.stderr) as bar:
                async for progress in steps:
                    bar(progress.share, str(progress))
        print(f"{settings.embedding_model}: {progress}")

    try:
        asyncio.run(show())
    except CodelabError as error:
        raise StartupError(f"{error.detail} (what was migrated stays so: run this command again)") from None


def _doctor(arguments: argparse.Namespace) -> None:
    from services.doctor.examination import examine, in_json, in_words
    from services.terminal import Style

    findings = asyncio.run(examine())
    print(in_json(findings) if arguments.json else in_words(findings, Style.of(sys.stdout)))
    if any(finding.status == "fail" for finding in findings):
        sys.exit(1)


def _token(arguments: argparse.Namespace) -> None:
    from services.runtime.auth import Keys, TokenMinter
    from services.runtime.data_folder import DataFolder
    from services.runtime.process import configured

    settings = configured("token")
    user = DataFolder(settings.data_dir).development_user() if arguments.user is None else arguments.user
    if not is_uuid(user):
        raise StartupError(f"--user must be a UUID, such as {new_id()}")
    if not 0 < arguments.hours <= _LONGEST_TOKEN_HOURS:
        raise StartupError(f"--hours must be more than 0 and at most {_LONGEST_TOKEN_HOURS} (ten years)")
    if arguments.service == "":
        raise StartupError("--service must be the name of a service, such as one's own")
    if arguments.service and arguments.email:
        raise StartupError("--email belongs to users' tokens: leave it out with --service")
    minter = TokenMinter(Keys.of(settings))
    seconds = max(1.0, arguments.hours * 3600)
    if arguments.service:
        print(minter.service_token(arguments.service, user, seconds))
    elif settings.jwt_jwks_url:
        raise StartupError("users' tokens come from the owner of JWT_JWKS_URL: they cannot be made here")
    else:
        print(minter.user_token(user, seconds, arguments.email))


def _welcome(settings: Settings) -> str:
    from services.runtime.auth import Keys, TokenMinter
    from services.runtime.data_folder import DataFolder
    from services.terminal import origin

    url = settings.local_url
    endpoint = origin(settings.openai_base_url) if settings.openai_base_url else "OpenAI"
    model = (
        f"{settings.openai_model} at {endpoint}"
        if settings.openai_api_key or settings.openai_base_url
        else "built-in offline model (set OPENAI_API_KEY or OPENAI_BASE_URL for a real one)"
    )
    bundled = {"minilm": "MiniLM", "hashing": "hashing (finds words, not meaning)"}
    embedded_by = bundled.get(settings.embedding_model, f"{settings.embedding_model} at {endpoint}")
    kept = f"on Qdrant at {origin(settings.qdrant_url)}" if settings.qdrant_url else "on disk"
    ready = f"CodeLab Core {package_version()} is ready."
    lines = [ready, "", f"  URL    {url}", f"  Docs   {url}/docs", f"  Model  {model}"]
    lines.append(f"  Memory {embedded_by}, {kept}")
    if settings.jwt_jwks_url:
        return "\n".join([*lines, "  Token  from your identity provider (JWT_JWKS_URL)", ""])
    user = DataFolder(settings.data_dir).development_user()
    token = TokenMinter(Keys.of(settings)).user_token(user, _DEVELOPMENT_TOKEN_DAYS * 24 * 3600)
    return "\n".join(
        [
            *lines,
            f"  Token  {token}",
            f"         (a development user, {_DEVELOPMENT_TOKEN_DAYS} days; `codelab token` makes others)",
            "",
            "Stop it with Ctrl-C. Talk to an agent from another terminal with `codelab chat`, or try it by hand:",
            "",
            f"  curl -s {url}/my/projects/ \\",
            f"    -H 'Authorization: Bearer {token}' \\",
            """    -H 'Content-Type: application/json' -d '{"name": "First light"}'""",
            "",
        ]
    )


if __name__ == "__main__":
    main()
