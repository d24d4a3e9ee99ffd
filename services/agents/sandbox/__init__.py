"""Where commands of agents run: on a project's folder, and on nothing else of the machine."""
