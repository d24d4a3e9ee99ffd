"""Messages to be answered at length: as long as a test needs, held at a gate, or cut."""

from tests.e2e.client import Chat, answer
from tests.e2e.events import Format, Watch
from tests.fakes.openai_script import DEFAULT_ANSWER, Script

POEM = '𝄞 Zwölf Boxkämpfer, cafe\u0301, 👩‍👩‍👧 jagen\u2028中文? "Nein".\r\n' * 12
# Streams until somebody stops it.
ENDLESS = Script(answer="tick " * 400, chunks=400, token_seconds=0.1)
DIRECT_EVENTS = ["message_received", "agent_started", "agent_completed"]


def saying(text: str, script: Script) -> str:
    return f"{text} {script.directive()}"


def reciting(chat: Chat) -> str:
    """Ask for the poem; its middle waits for the gate named like the session."""
    script = Script(answer=POEM, chunks=40, token_seconds=0.005, after_chunks=20, gate=chat.session_id)
    return saying(f"Recite, {chat.session_id}.", script)


async def answered(chat: Chat, text: str = "And now?") -> None:
    """The session takes the next message."""
    message = await answer(chat.send(text))
    assert (message["role"], message["content"]) == ("assistant", DEFAULT_ANSWER)


async def cut_after(chat: Chat, content: str, deltas: int, accept: Format, **fields: str) -> Watch:
    """Stream a message and drop the connection in the middle of the answer."""
    watch = Watch()
    async with chat.stream(content, accept=accept, watch=watch, **fields) as stream:
        await stream.until("message_delta", count=deltas)
    return watch
