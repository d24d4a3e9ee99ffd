"""Nothing gets out of the sandbox of commands, and nothing that was tried makes it useless afterwards."""

import gzip
import os
import re
from collections.abc import Iterator

import pytest

from services.agents.sandbox.choice import lacking
from services.agents.tools.tool import MOST_OUTPUT, ToolFailed
from tests.agents.command_escapes import ATTEMPTS, Attempt
from tests.agents.sandboxes import ROADS, SECRET, Machine, machine

pytestmark = pytest.mark.server_backed

_BOMB = gzip.compress(bytes(64 * 1024**2), 1)


@pytest.fixture(scope="module", params=ROADS)
def around(request: pytest.FixtureRequest) -> Iterator[Machine]:
    if why := lacking():
        pytest.skip(why)
    before = os.environ.get("CODELAB_TEST_SECRET")
    os.environ["CODELAB_TEST_SECRET"] = SECRET
    try:
        with machine(request.param) as made:
            descriptor = os.open(made.data, os.O_RDONLY)
            os.set_inheritable(descriptor, True)
            yield made
            os.close(descriptor)
    finally:
        os.environ.pop("CODELAB_TEST_SECRET")
        if before is not None:
            os.environ["CODELAB_TEST_SECRET"] = before


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
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
    assert "\0" not in output.text
    assert "\x1b" not in output.text
    assert len(output.text) <= MOST_OUTPUT
    around.assert_untouched()
    await assert_still_good(around)


async def assert_still_good(around: Machine) -> None:
    """The server and the next command can use the workspace, whatever the last one did to it."""
    for each in around.folder.iterdir():
        assert not each.is_file() or each.is_symlink() or each.stat().st_nlink == 1
        each.unlink()
    (around.folder / "of-server").write_text("from the server")
    (around.folder / "of-server").chmod(0o666)
