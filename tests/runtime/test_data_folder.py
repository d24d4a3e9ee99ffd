"""The data folder, used by several processes at once."""

import asyncio
import os
import stat
import sys
from pathlib import Path

import pytest

from services.runtime.data_folder import DataFolder
from services.runtime.errors import StartupError

SECRET = "import sys; sys.stdin.readline(); from pathlib import Path"
SECRET += "; from services.runtime.data_folder import DataFolder; print(DataFolder(Path(sys.argv[1])).secret('jwt'))"

LOCK = """
import sys
from pathlib import Path
from services.runtime.data_folder import DataFolder
from services.runtime.errors import StartupError
folder = DataFolder(Path(sys.argv[1]))
try:
    folder.lock("projects")
except StartupError as error:
    print(error)
else:
    print("locked", flush=True)
    sys.stdin.readline()
"""


async def start(script: str, folder: Path) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(folder), stdin=pipe, stdout=pipe)


async def test_processes_that_start_together_get_one_secret(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "data"
    processes = [await start(SECRET, folder) for _ in range(8)]
    # Each waits for its line, so that they are all there when the first one gets it.
    answers = await asyncio.gather(*(process.communicate(b"\n") for process in processes))
    secrets = {answer.decode().strip() for answer, _ in answers}
    assert len(secrets) == 1
    [secret] = secrets
    assert len(bytes.fromhex(secret)) == 32
    assert DataFolder(folder).secret("jwt") == secret
    assert DataFolder(folder).secret("service-token") != secret
    assert sorted(path.name for path in folder.iterdir()) == ["jwt.key", "service-token.key"]


def test_secrets_are_their_owners_only(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    before = os.umask(0)
    try:
        DataFolder(folder).secret("jwt")
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "jwt.key").stat().st_mode) == 0o600


async def test_one_of_the_processes_that_start_together_has_the_lock(tmp_path: Path) -> None:
    processes = [await start(LOCK, tmp_path / "data") for _ in range(6)]
    lines = []
    for process in processes:
        assert process.stdout is not None
        lines.append((await process.stdout.readline()).decode().strip())
    assert lines.count("locked") == 1
    [refusal] = {line for line in lines if line != "locked"}
    assert refusal.startswith("projects already runs on the data folder")
    assert "CODELAB_DATA_DIR" in refusal
    assert "make down" in refusal
    for process in processes:
        await process.communicate(b"\n")


async def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    process = await start(LOCK, tmp_path)
    assert process.stdout is not None
    await process.stdout.readline()
    with pytest.raises(StartupError):
        DataFolder(tmp_path).lock("projects")
    process.kill()
    await process.wait()
    DataFolder(tmp_path).lock("projects")


def test_lock_is_by_name_and_can_be_released(tmp_path: Path) -> None:
    first, second = DataFolder(tmp_path), DataFolder(tmp_path)
    first.lock("projects")
    second.lock("agents")
    with pytest.raises(StartupError):
        second.lock("projects")
    first.release()
    second.lock("projects")


def test_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError) as caught:
        DataFolder(tmp_path / "file" / "data").secret("jwt")
    assert "CODELAB_DATA_DIR" in str(caught.value)
    assert "\n" not in str(caught.value)
