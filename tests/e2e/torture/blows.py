"""What strikes while answers are written, on each layout."""

from tests.e2e.torture.torture import Blow, Torture


async def _kill(torture: Torture, name: str) -> None:
    process = torture.suite.processes[name]
    process.kill()
    await process.wait()
    await torture.suite.start(name)


async def _kill_orchestrator(torture: Torture) -> None:
    await _kill(torture, "orchestrator")


async def _kill_streams(torture: Torture) -> None:
    await _kill(torture, "streams")


KILL_ORCHESTRATOR = Blow("SIGKILL of the orchestrator that owns runs", _kill_orchestrator)
KILL_STREAMS = Blow("SIGKILL of streams", _kill_streams, epochs=1)
