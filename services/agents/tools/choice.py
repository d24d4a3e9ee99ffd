"""Which tools this server has."""

from services.agents.memory.embedding.embedder import Embedder
from services.agents.memory.keeper import MemoryKeeper
from services.agents.memory.service import MemoryService
from services.agents.tools.file_tools import file_tools
from services.agents.tools.memory_tools import RememberTool, SearchMemoryTool
from services.agents.tools.run_command import command_tools
from services.agents.tools.tool import Tool
from services.agents.workspaces.workspaces import Workspaces
from services.runtime.ids import utc_now
from services.runtime.settings import Settings


async def tools_of(
    settings: Settings, workspaces: Workspaces, keeper: MemoryKeeper, memory: MemoryService, embedder: Embedder
) -> tuple[Tool, ...]:
    """Every tool, also what cannot be used here and says so."""
    remembering = (SearchMemoryTool(memory), RememberTool(keeper, memory, embedder, utc_now))
    return (*file_tools(workspaces), *await command_tools(settings, workspaces), *remembering)
