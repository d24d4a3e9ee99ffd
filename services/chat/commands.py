"""What one types after a slash."""

import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC

from codelab.agents.v1.memory_pb2 import Memory
from codelab.agents.v1.memory_service_pb2 import (
    AddMemoryRequest,
    DeleteMemoryRequest,
    ListMemoriesRequest,
    SearchMode,
)
from codelab.orchestrator.v1.message_pb2 import MessageRole
from google.protobuf.timestamp_pb2 import Timestamp

from codelab_client import ApiError
from services.chat.conversation import Conversation, NoSuchThing, said
from services.chat.deciding import Means, Questions
from services.chat.screen import Screen
from services.terminal import columns, one_line, printable

_HELP = (
    ("/agents", "whom there is to talk to"),
    ("/agent NAME", "talk to another agent"),
    ("/new", "begin another session"),
    ("/sessions", "the sessions of this project, newest first"),
    ("/session NUMBER or ID", "go on in one of them"),
    ("/history", "what was said in this session"),
    ("/memory [QUERY]", "what the agent remembers, or remembers about something"),
    ("/remember TEXT", "give the agent something to remember"),
    ("/forget NUMBER or ID", "make it forget a memory"),
    ("/decide", "what waits for your approval in this project, one after the other"),
    ("/quit", "leave, as Ctrl-D does"),
)
_MOST = 20
_LAST_MESSAGES = 6
# Shorter beginnings of an id are too easily another's.
_SHORTEST_ID = 4


class Leave(Exception):
    """The user has had enough."""


class Commands:
    """Carries them out. Numbers are those of the list that was shown last."""

    def __init__(self, conversation: Conversation, screen: Screen, means: Means) -> None:
        self._conversation = conversation
        self._screen = screen
        self._means = means
        self._sessions: list[str] = []
        self._memories: list[str] = []
        self._known: dict[str, Callable[[str], Awaitable[None]]] = {
            "help": self._help,
            "agents": self._list_agents,
            "agent": self._choose_agent,
            "new": self._begin_anew,
            "sessions": self._list_sessions,
            "session": self._go_to_session,
            "history": self._history,
            "memory": self._memory,
            "remember": self._remember,
            "forget": self._forget,
            "decide": self._decide,
            "quit": self._quit,
        }

    @property
    def names(self) -> list[str]:
        """What there is, with its slash."""
        return [f"/{name}" for name in self._known]

    async def run(self, line: str) -> None:
        """Carry out `/name argument`. What fails is shown; raise Leave when that is what was asked for."""
        name, _, argument = line.removeprefix("/").partition(" ")
        command = self._known.get(name)
        if command is None:
            self._screen.failed(f"there is no /{name}: /help lists what there is; to send such text begin it with //")
            return
        try:
            await command(argument.strip())
        except NoSuchThing as error:
            self._screen.failed(str(error))
        except ApiError as error:
            self._screen.failed(said(error))

    async def _help(self, _: str) -> None:
        for usage, what in _HELP:
            self._screen.line(f"  {usage:24}{self._screen.style.dim(what)}")
        self._screen.line(
            self._screen.style.dim(r"  A line that ends with \ goes on in the next. Ctrl-C stops an answer.")
        )

    async def _list_agents(self, _: str) -> None:
        await self._conversation.choose(self._conversation.agent.id)
        for agent in self._conversation.agents:
            mark = "*" if agent.id == self._conversation.agent.id else " "
            self._screen.line(f"  {mark} {printable(agent.name)}")

    async def _choose_agent(self, name: str) -> None:
        await self._conversation.choose(_needed(name, "/agent NAME"))
        self._screen.aside(f"you talk to {printable(self._conversation.agent.name)}")

    async def _begin_anew(self, _: str) -> None:
        self._conversation.begin_anew()
        self._screen.aside("the next message begins a new session")

    async def _list_sessions(self, _: str) -> None:
        sessions = await self._conversation.sessions(_MOST)
        self._sessions = [session.id for session in sessions]
        if not sessions:
            self._screen.aside("there is no session yet")
        for number, session in enumerate(sessions, start=1):
            current = self._conversation.session is not None and session.id == self._conversation.session.id
            after = f"  {session.message_count} messages, {_when(session.updated_at)}, {session.id}"
            before = f"{'*' if current else ' '}{number:3}  "
            title = one_line(session.title or "(untitled)", max(20, columns() - len(before) - len(after)))
            self._screen.line(f"{before}{title}{self._screen.style.dim(after)}")

    async def _go_to_session(self, which: str) -> None:
        which = _needed(which, "/session NUMBER or ID")
        if not (self._sessions or len(which) == len(str(uuid.UUID(int=0)))):
            self._sessions = [session.id for session in await self._conversation.sessions(_MOST)]
        await self._conversation.go_to(_meant(which, self._sessions, "session"))
        await self._show_messages(_LAST_MESSAGES)

    async def _history(self, _: str) -> None:
        await self._show_messages(_MOST)

    async def _show_messages(self, most: int) -> None:
        messages = await self._conversation.messages(most)
        if not messages:
            self._screen.aside("nothing was said yet")
        names = {agent.id: agent.name for agent in self._conversation.agents}
        for message in messages:
            user = message.role == MessageRole.MESSAGE_ROLE_USER
            who = "you" if user else names.get(message.agent_id, "assistant")
            self._screen.line(self._screen.style.bold(printable(who)))
            self._screen.line(printable(message.content))

    async def _memory(self, query: str) -> None:
        conversation = self._conversation
        request = ListMemoriesRequest(
            project_id=conversation.project.id,
            agent_id=conversation.agent.id,
            q=query,
            # Names and numbers are found by their words, all else by its meaning.
            mode=SearchMode.SEARCH_MODE_HYBRID,
            page_size=_MOST,
        )
        memories = (await conversation.client.memories.ListMemories(request)).memories
        self._show_memories(memories)

    def _show_memories(self, memories: Sequence[Memory]) -> None:
        self._memories = [memory.id for memory in memories]
        if not memories:
            self._screen.aside("it remembers nothing of that kind")
        for number, memory in enumerate(memories, start=1):
            before, after = f" {number:3}  ", f"  {_when(memory.timestamp)}"
            if memory.HasField("score"):
                after = f"  ({memory.score:.2f}){after}"
            content = one_line(memory.content, max(20, columns() - len(before) - len(after)))
            self._screen.line(f"{before}{content}{self._screen.style.dim(after)}")

    async def _remember(self, text: str) -> None:
        memory = Memory(content=_needed(text, "/remember TEXT"))
        request = AddMemoryRequest(**self._agent, memory=memory, request_id=str(uuid.uuid4()))
        await self._conversation.client.memories.AddMemory(request)
        self._screen.aside(f"{printable(self._conversation.agent.name)} will remember that")

    async def _forget(self, which: str) -> None:
        memory_id = _meant(_needed(which, "/forget NUMBER or ID"), self._memories, "memory")
        await self._conversation.client.memories.DeleteMemory(DeleteMemoryRequest(**self._agent, memory_id=memory_id))
        # The other numbers stay what they were.
        self._screen.aside("forgotten")

    async def _decide(self, _: str) -> None:
        waiting = await self._conversation.approvals(_MOST)
        if not waiting:
            self._screen.aside("nothing waits for you")
            return
        questions = Questions(self._conversation, self._screen, self._means)
        questions.listed(waiting)
        await questions.ask_those()
        self._screen.aside("what was decided goes on by itself, and is answered in its session: see /sessions")

    async def _quit(self, _: str) -> None:
        raise Leave

    @property
    def _agent(self) -> dict[str, str]:
        return {"project_id": self._conversation.project.id, "agent_id": self._conversation.agent.id}


def _needed(argument: str, usage: str) -> str:
    if not argument:
        raise NoSuchThing(f"say which: {usage}")
    return argument


def _meant(which: str, listed: Sequence[str], kind: str) -> str:
    """The id that a number of the last list, an id, or the beginning of a listed id stands for. Raise NoSuchThing."""
    if which.isdecimal() and len(which) < _SHORTEST_ID:
        if not 1 <= int(which) <= len(listed):
            raise NoSuchThing(f"there is no {kind} {which} in the last list")
        return listed[int(which) - 1]
    alike = [each for each in listed if each.startswith(which)] if len(which) >= _SHORTEST_ID else []
    return alike[0] if len(alike) == 1 else which


def _when(time: Timestamp) -> str:
    return time.ToDatetime(UTC).astimezone().strftime("%Y-%m-%d %H:%M") if time.seconds else ""
