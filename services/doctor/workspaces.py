"""Where the files of projects are, which agents work on."""

from services.doctor.finding import Finding, ok, warn
from services.runtime.settings import SERVICES, Settings

_WHAT = "workspaces"


async def workspaces(settings: Settings) -> list[Finding]:
    """Whether all replicas of the agents service see the same files, as far as settings tell."""
    if settings.workspaces_dir:
        return [ok(_WHAT, f"the files of projects are in {settings.workspaces_dir}")]
    addresses = settings.backend_addresses
    if len(addresses) == len(SERVICES) and "+" in addresses[SERVICES.index("agents")]:
        detail = "each replica of the agents service has files of its own: a file that one wrote, another does not find"
        return [warn(_WHAT, detail, "set CODELAB_WORKSPACES_DIR to a folder that all of them share")]
    return [ok(_WHAT, "the files of projects are in the data folder, which is right for one replica")]
