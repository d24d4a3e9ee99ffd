"""Users, their projects, and the life of a project across the services."""
