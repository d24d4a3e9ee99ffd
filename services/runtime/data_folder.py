"""The folder of the embedded backends: who may use it, and the secrets a development machine makes once."""

import fcntl
import os
import secrets
from pathlib import Path
from uuid import UUID

from services.runtime.errors import StartupError


class DataFolder:
    """The folder at `path`, made on first use, readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._locks: list[int] = []

    def lock(self, name: str) -> None:
        """Take `name` for this process until it ends or `release`; raise StartupError if another process has it.

        In-process backends mean one replica: two would each believe that they see every event and every lease.
        """
        self._make()
        descriptor = os.open(self.path / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise StartupError(
                f"{name} already runs on the data folder {self.path}: stop it (`make down` stops a suite),"
                " or set CODELAB_DATA_DIR to another"
            ) from None
        self._locks.append(descriptor)

    def release(self) -> None:
        """Give up every lock."""
        while self._locks:
            os.close(self._locks.pop())

    def secret(self, name: str) -> str:
        """Return the secret `name`: 64 hex digits, made once; every process that asks gets the same."""
        self._make()
        path = self.path / f"{name}.key"
        if not path.exists():
            # Written aside and linked: of processes that start together one wins, and none reads half a secret.
            aside = self.path / f".{name}.{os.getpid()}.{secrets.token_hex(4)}"
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
            try:
                os.link(aside, path)
            except FileExistsError:
                pass  # Another process was first; its secret is the one.
            finally:
                aside.unlink()
        return path.read_text().strip()

    def development_user(self) -> str:
        """The id of the user of this folder: made once, so that a new token finds the old projects."""
        return str(UUID(hex=self.secret("user")[:32], version=4))

    def _make(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StartupError(f"CODELAB_DATA_DIR: cannot make {self.path}: {error.strerror}") from None
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise StartupError(f"CODELAB_DATA_DIR: {self.path} is not writable")
