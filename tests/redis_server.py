"""A Redis for the tests alone: in a folder and on a port of its own, with a password, and nothing on disk."""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from tests.e2e.ports import free_ports

PASSWORD = "redis-secret"
_START_SECONDS = 20.0


@dataclass
class RedisServer:
    """A server that can be stopped and started again, which leaves it empty, or as it was at its last SAVE."""

    program: str
    folder: Path
    port: int = field(default_factory=free_ports)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What REDIS_URL wants."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start, and return when it answers."""
        log = self.folder / "log"
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self.folder, "requirepass": PASSWORD, "save": ""}
        command = [self.program, *(str(part) for name, value in options.items() for part in (f"--{name}", value))]
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        deadline = time.monotonic() + _START_SECONDS
        with redis.Redis.from_url(self.url) as client:
            while not _answers(client):
                code = self._process.poll()
                assert code is None, f"Redis ended with {code}:\n{log.read_text()}"
                assert time.monotonic() < deadline, f"Redis is not ready after {_START_SECONDS} s"
                time.sleep(0.02)

    def stop(self) -> None:
        """Stop, as a crash would: what it did not save is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=30)

    def send(self, what: signal.Signals) -> None:
        """SIGSTOP lets it answer nobody until SIGCONT."""
        assert self._process is not None
        self._process.send_signal(what)


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@contextmanager
def running() -> Iterator[RedisServer]:
    """Start an empty server; stop it and remove its folder at the end. Skip the test where it is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("Redis is not installed: apt-get install redis-server")
    with tempfile.TemporaryDirectory(prefix="codelab-redis-") as folder:
        server = RedisServer(program, Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
