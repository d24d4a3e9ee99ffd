"""What there is in an EdgeMemoryStore's folder."""

from pathlib import Path

from services.agents.memory.model import Collection


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def shards_in(folder: Path, collection: Collection) -> list[str]:
    return names_in(folder / collection.name)
