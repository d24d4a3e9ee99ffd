"""A PostgreSQL server for the tests alone: in a folder and on a port of its own, as an unprivileged user."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Any
from urllib.parse import quote

import asyncpg

from tests.e2e.ports import free_ports

_START_SECONDS = 30.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    # What a test writes need not outlive the machine; a crash of the server it must, as everywhere.
    "fsync": "off",
}


@dataclass
class PostgresServer:
    """A server on a cluster of its own, that can be stopped and started again."""

    programs: Path
    folder: Path
    user: str | None
    """Whom it runs as; None: whoever runs the tests."""
    settings: dict[str, str] = field(default_factory=dict)
    """What differs from the tests' own, by PostgreSQL's names."""
    port: int = field(default_factory=free_ports)
    _process: subprocess.Popen[bytes] | None = None

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

    @property
    def pid(self) -> int:
        """The process that starts all others of the server."""
        assert self._process is not None
        return self._process.pid

    def create(self) -> None:
        """Make the cluster."""
        password = self.folder / "password"
        password.write_text("secret")
        password.chmod(0o644)
        command = [
            *(self.programs / "initdb", f"--pgdata={self.folder / 'data'}", "--no-sync", "--encoding=UTF8"),
            *("--locale=C.UTF-8", "--username=codelab", f"--pwfile={password}", "--auth=scram-sha-256"),
        ]
        done = subprocess.run(command, **self._as_user(), stdout=PIPE, stderr=STDOUT, text=True, check=False)
        assert done.returncode == 0, f"initdb failed:\n{done.stdout}"

    def start(self) -> None:
        """Start, and return when it answers."""
        log = self.folder / "log"
        options = [
            f"--{name}={value}" for name, value in {**_SETTINGS, **self.settings, "port": str(self.port)}.items()
        ]
        command = [self.programs / "postgres", "-D", self.folder / "data", *options]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, **self._as_user(), stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + _START_SECONDS
        ready = [self.programs / "pg_isready", "--quiet", "--host=127.0.0.1", f"--port={self.port}"]
        while subprocess.run(ready, check=False).returncode != 0:
            code = self._process.poll()
            assert code is None, f"PostgreSQL ended with {code}:\n{log.read_text()}"
            assert time.monotonic() < deadline, f"PostgreSQL is not ready after {_START_SECONDS} s"
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop: SIGINT breaks off who is connected, SIGQUIT leaves the cluster as a crash would."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(timeout=30)

    def _as_user(self) -> dict[str, Any]:
        # A user's own groups would need to be looked up; root's must not stay.
        switched = {} if self.user is None else {"user": self.user, "group": self.user, "extra_groups": []}
        return {"cwd": self.folder, **switched}


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, None where it is not installed. Debian keeps them off the PATH."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


@contextmanager
def running(programs: Path, **settings: str) -> Iterator[PostgresServer]:
    """Start a server on a new cluster, with such settings; stop it and remove the cluster at the end."""
    # Not pytest's folder, which nobody else may enter: PostgreSQL refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="codelab-postgres-"))
    try:
        user = _unprivileged() if os.getuid() == 0 else None
        if user is not None:
            shutil.chown(folder, user)
        server = PostgresServer(programs, folder, user, settings)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _unprivileged() -> str:
    """A user who is not root: Debian's own for PostgreSQL, or nobody."""
    with suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return "nobody"


if __name__ == "__main__":
    # To look at by hand: `python -m tests.postgres`.
    found = programs()
    assert found is not None, "PostgreSQL is not installed"
    # A shell's background jobs ignore Ctrl-C, and what is only terminated would leave its server behind.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    with running(found) as started, suppress(KeyboardInterrupt):
        print(started.url(), flush=True)
        signal.pause()
