"""Worker spaces, agents, and the execution of their tasks."""
