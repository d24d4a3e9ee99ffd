"""What the system says of files, said to a model."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from services.agents.tools.tool import ToolFailed
from services.agents.workspaces.names import shown

log = structlog.get_logger()

_SENTENCES = {
    errno.ENOENT: "{path} does not exist: list_directory shows what there is.",
    errno.ELOOP: "{path} is a link, and links are not followed: name what it leads to.",
    errno.ENOTDIR: "{path} goes through something that is not a folder.",
    errno.EISDIR: "{path} is a folder, not a file.",
    errno.ENXIO: "{path} is no regular file, and cannot be read or written.",
    errno.ENAMETOOLONG: "{path} has a name that is too long: take a shorter one.",
    errno.EILSEQ: "{path} is a name that the file system does not take: take another one.",
    errno.EINVAL: "{path} is a name that the file system does not take: take another one.",
    errno.EAGAIN: "{path} is reserved by a command at the moment: try again when that has ended.",
    errno.EACCES: "{path} is closed to tools by its mode, or its folder's: change that with a command.",
    errno.EPERM: "{path} may not be changed.",
    errno.ENOSPC: "The server's disk is full: nothing can be written at the moment.",
    errno.EDQUOT: "The server's disk is full: nothing can be written at the moment.",
}


@contextmanager
def failing(path: str) -> Iterator[None]:
    """Raise ToolFailed for an OSError of the block."""
    try:
        yield
    except OSError as error:
        sentence = _SENTENCES.get(error.errno or 0)
        if sentence is None:
            log.warning("a file of a workspace cannot be used", error=errno.errorcode.get(error.errno or 0))
            sentence = "{path} cannot be used because the server's disk failed: try again later."
        raise ToolFailed(sentence.format(path=shown(path))) from None
