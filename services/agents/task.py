"""A task, as it is given to this service."""

from dataclasses import dataclass

from services.agents.agent import Owner
from services.agents.memory.model import InteractionType
from services.agents.models import Message
from services.agents.quoting import TaskInput
from services.agents.store import Claim
from services.agents.tools.calling import CallAnswer


@dataclass(frozen=True)
class Task:
    """One attempt at a task, with everything it needs."""

    owner: Owner
    agent_id: str
    claim: Claim
    instruction: str
    history: tuple[Message, ...] = ()
    """The session before this run, oldest first."""
    inputs: tuple[TaskInput, ...] = ()
    session_id: str = ""
    interaction_type: InteractionType = "direct_call"
    request: str = ""
    """The user's message, where the instruction is only a part of what it asks for."""
    state: str = ""
    """Where it goes on if it was paused; see Paused."""
    answers: tuple[CallAnswer, ...] = ()
    """What became of the calls that it waited for."""
    approved_tools: tuple[str, ...] = ()
    """Tools of which the user has approved every call in this run."""
    unattended: bool = False
    """Nobody can be asked anything."""
