"""Memories in the embedded engine: a folder, and a process that owns it."""
