"""The tools that have to do with files."""

from services.agents.tools.edit_file import EditFile
from services.agents.tools.files import ListDirectory, ReadFile, WriteFile
from services.agents.tools.search_files import SearchFiles
from services.agents.tools.tool import Tool
from services.agents.workspaces.workspaces import Workspaces


def file_tools(workspaces: Workspaces) -> tuple[Tool, ...]:
    """All of them, on these workspaces."""
    return (
        ListDirectory(workspaces),
        ReadFile(workspaces),
        SearchFiles(workspaces),
        WriteFile(workspaces),
        EditFile(workspaces),
    )
