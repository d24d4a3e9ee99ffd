"""A PostgreSQL server for the tests alone: in a folder and on a port of its own, as an unprivileged user."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg

from tests.e2e.ports import free_ports

_START_SECONDS = 30.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    # What a test writes need not outlive the machine.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


@dataclass
class PostgresServer:
    """A server that runs while the tests do."""

    programs: Path
    port: int

    def url(self, database: str = "postgres") -> str:
        """Where a database of the server is, for DATABASE_URL."""
        return f"postgresql://codelab:secret@127.0.0.1:{self.port}/{quote(database)}"

    async def create_database(self, name: str) -> str:
        """Make an empty database and return its URL."""
        await self.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    async def execute(self, statement: str, database: str = "postgres") -> None:
        connection = await asyncpg.connect(self.url(database))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, None where it is not installed. Debian keeps them off the PATH."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


@contextmanager
def running(programs: Path) -> Iterator[PostgresServer]:
    """Start a server on a new cluster; stop it and remove the cluster at the end."""
    # Not pytest's folder, which nobody else may enter: PostgreSQL refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="codelab-postgres-"))
    user = None
    if os.getuid() == 0:
        user = _unprivileged()
        shutil.chown(folder, user)
    data, log = folder / "data", folder / "log"
    password = folder / "password"
    password.write_text("secret")
    password.chmod(0o644)
    try:
        _run(
            [
                *(programs / "initdb", f"--pgdata={data}", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"),
                *("--username=codelab", f"--pwfile={password}", "--auth=scram-sha-256"),
            ],
            user,
        )
        server = PostgresServer(programs, free_ports())
        options = [f"--{name}={value}" for name, value in {**_SETTINGS, "port": str(server.port)}.items()]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [programs / "postgres", "-D", data, *options],
                user=user,
                group=user,
                extra_groups=[] if user else None,
                cwd=folder,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            _wait_until_ready(server, process, log)
            yield server
        finally:
            # Fast shutdown: it does not wait for those who are connected.
            process.send_signal(2)
            process.wait(timeout=30)
    finally:
        shutil.rmtree(folder)


def _unprivileged() -> str:
    """A user who is not root: Debian's own for PostgreSQL, or nobody."""
    with suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return "nobody"


def _run(command: list[str | Path], user: str | None) -> None:
    done = subprocess.run(
        command,
        user=user,
        group=user,
        extra_groups=[] if user else None,
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout}"


def _wait_until_ready(server: PostgresServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    ready = [server.programs / "pg_isready", "--quiet", "--host=127.0.0.1", f"--port={server.port}"]
    while subprocess.run(ready, check=False).returncode != 0:
        assert process.poll() is None, f"PostgreSQL ended:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"PostgreSQL is not ready after {_START_SECONDS} s:\n{log.read_text()}"
        time.sleep(0.05)


if __name__ == "__main__":
    # To look at by hand: `python -m tests.postgres`.
    found = programs()
    assert found is not None, "PostgreSQL is not installed"
    with running(found) as started, suppress(KeyboardInterrupt):
        print(started.url(), flush=True)
        asyncio.run(asyncio.sleep(86400))
