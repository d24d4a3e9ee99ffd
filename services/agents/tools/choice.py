"""Which tools this server has."""

from services.agents.memory.embedding.embedder import Embedder
from services.agents.memory.keeper import MemoryKeeper
from services.agents.memory.service import MemoryService
from services.agents.tools.memory_tools import RememberTool, SearchMemoryTool
from services.agents.tools.tool import Tool
from services.runtime.ids import utc_now
from services.runtime.settings import Settings


def tools_of(settings: Settings, keeper: MemoryKeeper, memory: MemoryService, embedder: Embedder) -> tuple[Tool, ...]:
    """Every tool, also what cannot be used here and says so."""
    return (SearchMemoryTool(memory), RememberTool(keeper, memory, embedder, utc_now))
