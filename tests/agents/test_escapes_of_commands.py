"""Nothing gets out of the sandbox of commands, and nothing that was tried makes it useless afterwards."""

import gzip
import os
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.agents.sandbox.choice import lacking
from services.agents.tools.tool import MOST_OUTPUT, ToolFailed
from tests.agents.command_escapes import ATTEMPTS, OF_WALLS, Attempt
from tests.agents.sandboxes import ROADS, SECRET, Machine, caller, machine

pytestmark = pytest.mark.server_backed

_BOMB = gzip.compress(bytes(64 * 1024**2), 1)


@pytest_asyncio.fixture(scope="module")
async def around(request: pytest.FixtureRequest) -> AsyncIterator[Machine]:
    if why := lacking():
        pytest.skip(why)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CODELAB_TEST_SECRET", SECRET)
        async with machine(request.param) as made:
            descriptor = os.open(made.data, os.O_RDONLY)
            os.set_inheritable(descriptor, True)
            yield made
            os.close(descriptor)


@pytest.mark.parametrize(
    ("around", "attempt"),
    [
        pytest.param(road, attempt, id=f"{road}-{attempt.name}")
        for road in ROADS
        for attempt in (ATTEMPTS if road == ROADS[0] else OF_WALLS)
    ],
    indirect=["around"],
)
async def test_nothing_gets_out(around: Machine, attempt: Attempt) -> None:
    (around.folder / "bomb.gz").write_bytes(_BOMB)
    if attempt.refused:
        with pytest.raises(ToolFailed, match=attempt.says):
            await around.run(attempt.command)
        return

    output = await around.run(around.filled_in(attempt.command), attempt.seconds)

    assert re.search(attempt.says, output.text), output.text
    assert attempt.success in (None, output.success), output.text
    assert not (attempt.hides and re.search(attempt.hides, output.text)), output.text
    assert SECRET not in output.text
    assert not re.search("[\0\x1b]", output.text)
    assert len(output.text) <= MOST_OUTPUT
    around.assert_untouched()
    await remove_what_it_left(around)


async def remove_what_it_left(around: Machine) -> None:
    """The server can, whatever was done to the folder; and what looks like its own files it does not read."""
    for each in around.folder.iterdir():
        if each.is_symlink():
            with pytest.raises(ToolFailed):
                await around.read_file.run(caller(), {"path": each.name})
        each.unlink()
