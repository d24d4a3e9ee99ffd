"""The process that owns the shards of an EdgeMemoryStore: `python -m services.agents.memory.edge.process`.

Every call of the engine holds the interpreter's lock; here it holds up nobody but its own queue. Requests come by
stdin and are answered, in their order, by stdout. It ends with its parent, as hard as if it was killed: everything
that was answered is in the files.
"""

import fcntl
import os
import signal
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO, NoReturn

from services.agents.memory.edge.parent import die_with
from services.agents.memory.edge.protocol import HEAD, Answer, Report, Request, framed, length_of, value_of
from services.agents.memory.edge.server import EdgeServer, Event


def main(folder: Path, parent: int) -> NoReturn:
    """Serve the folder until a request to close, or the parent's end."""
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, _taken_from_prints()
    limits = _frame(requests)

    def send(answer: Answer | Report) -> None:
        answers.write(framed(answer))
        answers.flush()

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # A process before this one may not have ended yet; whoever asks waits no longer than for any other answer.
    fcntl.flock(lock, fcntl.LOCK_EX)
    events: SimpleQueue[Event] = SimpleQueue()
    server = EdgeServer(folder, limits, send, events.put)
    threading.Thread(target=_read, args=(requests, events, server), daemon=True).start()
    while True:
        event = events.get()
        if isinstance(event, Request) and event.operation == "close":
            server.close()
            send(Answer(event.id, "done"))
            # The thread that reads would not let the interpreter end.
            os._exit(0)
        server.handle(event)


def _read(requests: BinaryIO, events: "SimpleQueue[Event]", server: EdgeServer) -> None:
    try:
        while True:
            events.put(_frame(requests))
    except EOFError:
        server.kill_optimiser()
        os._exit(0)


def _frame(file: BinaryIO) -> Any:
    """The value of the next frame. Raise EOFError when the parent is gone."""
    head = file.read(HEAD)
    if len(head) == HEAD and len(data := file.read(length_of(head))) == length_of(head):
        return value_of(data)
    raise EOFError


def _taken_from_prints() -> BinaryIO:
    # What anybody prints goes to stderr, and not between the frames.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
