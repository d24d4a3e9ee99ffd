"""Memories on a Qdrant server."""
