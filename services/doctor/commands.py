"""Whether agents can run commands on this machine."""

from services.doctor.finding import Finding, ok
from services.runtime.settings import Settings


async def commands(settings: Settings) -> list[Finding]:
    """What the agents service finds out at its start too, by running one. Without it all else works."""
    from services.agents.sandbox.choice import open_sandbox

    sandbox = await open_sandbox(settings)
    if sandbox.unavailable is not None:
        return [ok("commands", "agents cannot run any here", sandbox.unavailable)]
    limits = sandbox.limits
    detail = f"agents run them in a sandbox, {limits.seconds:g} s and {limits.memory_bytes // 1024**2} MiB each"
    return [ok("commands", detail)]
