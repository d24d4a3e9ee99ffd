"""The process that optimises a copy of a shard: `python -m services.agents.memory.edge.optimizer`.

The engine holds the interpreter's lock throughout, so the process that answers searches cannot do this.
"""

import os
import sys
from pathlib import Path

from services.agents.memory.edge.parent import die_with

COPIED = b"copied\n"
_CHUNK = 1 << 20
_NOTHING = bytes(_CHUNK)


def main(source: Path, copy: Path, parent: int) -> None:
    """Copy a shard that nobody writes to, say so, and optimise the copy."""
    die_with(parent)
    os.nice(10)
    for folder, _, names in os.walk(source):
        to = copy / Path(folder).relative_to(source)
        to.mkdir(mode=0o700)
        for name in names:
            _copy_sparsely(Path(folder) / name, to / name)
    os.write(sys.stdout.fileno(), COPIED)

    import qdrant_edge as edge

    from services.agents.memory.edge.shard import OPTIMIZED

    shard = edge.EdgeShard.load(str(copy))
    shard.optimize()
    (copy / OPTIMIZED).write_text(str(shard.info().points_count))
    shard.flush()
    shard.close()


def _copy_sparsely(source: Path, copy: Path) -> None:
    # The engine's files are mostly holes: 200 MB hold ten points.
    with source.open("rb") as read, copy.open("wb") as write:
        while chunk := read.read(_CHUNK):
            if chunk == _NOTHING[: len(chunk)]:
                write.seek(len(chunk), os.SEEK_CUR)
            else:
                write.write(chunk)
        write.truncate()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
