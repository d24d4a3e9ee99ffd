"""The files of projects, which agents work on: where they are, and access to them that cannot be led elsewhere."""
