"""Capture the data of this version, for later versions to read: `python -m tests.upgrade.capture NAME`.

To be run before a new migration is committed, with the code as it is without it. It writes `data/NAME-sqlite`, and
`data/NAME-postgresql` where PostgreSQL is installed: the data as SQL, what was readable of it, and its revisions.
"""

import asyncio
import json
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from services.runtime import migrations
from tests import postgres
from tests.e2e.client import signed_in
from tests.e2e.suite import Layout, clean_environment, run_codelab, running
from tests.fakes.openai_server import FakeModel
from tests.upgrade import estate

DATA = Path(__file__).with_name("data")
STATEFUL = ("projects", "agents", "orchestrator")


async def capture(target: Path, folder: Path, settings: Mapping[str, str]) -> None:
    """Let a suite in `folder` make the estate, kill it at work, and write down what was readable."""
    with FakeModel() as model:
        asking = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "sk-test", "OPENAI_MODEL": "fake-model"}
        async with running(Layout.ONE, folder, **asking, **estate.SECRETS, **settings) as suite:
            answers: dict[str, Any] = {}
            for user in (estate.ANN, estate.BOB):
                async with signed_in(suite.url, await suite.token(user)) as api:
                    await estate.make(api)
            # Until its events are recorded as published, a session's last_event_id moves.
            await asyncio.sleep(1)
            for user in (estate.ANN, estate.BOB):
                async with signed_in(suite.url, await suite.token(user)) as api:
                    answers[user] = await estate.read(api.http)
            await suite.kill()
    _write(target / "answers.json", answers)
    _write(target / "revisions.json", {service: migrations.revisions(service)[-1] for service in STATEFUL})


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


async def capture_sqlite(name: str) -> None:
    target = DATA / f"{name}-sqlite"
    with tempfile.TemporaryDirectory(prefix="codelab-capture-") as folder:
        await capture(target, Path(folder), {})
        for service in STATEFUL:
            with closing(sqlite3.connect(Path(folder, "data", f"{service}.db"))) as connection:
                (target / f"{service}.sql").write_text("\n".join(connection.iterdump()) + "\n", encoding="utf-8")


async def capture_postgresql(name: str, programs: Path) -> None:
    target = DATA / f"{name}-postgresql"
    with postgres.running(programs) as server, tempfile.TemporaryDirectory(prefix="codelab-capture-") as folder:
        settings = {"DATABASE_URL": await server.create_database("captured")}
        migrated = await run_codelab("migrate", environment=clean_environment(**settings), folder=Path(folder))
        assert migrated.code == 0, migrated.output
        await capture(target, Path(folder), settings)
        dump = [programs / "pg_dump", "--no-owner", "--no-privileges", "--inserts", settings["DATABASE_URL"]]
        dumped = (await asyncio.to_thread(subprocess.run, dump, check=True, capture_output=True, text=True)).stdout
    # Newer servers' dumps carry a random word that keeps psql from obeying what data might say.
    lines = [line for line in dumped.splitlines() if not line.startswith(("\\restrict", "\\unrestrict", "--"))]
    (target / "database.sql").write_text("\n".join(filter(None, lines)) + "\n", encoding="utf-8")


async def main(name: str) -> None:
    await capture_sqlite(name)
    if (programs := postgres.programs()) is not None:
        await capture_postgresql(name, programs)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
