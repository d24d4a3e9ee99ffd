"""The errors of worker spaces, agents and executions."""

from services.agents.memory.model import Embedding
from services.runtime.errors import (
    Aborted,
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)


class ProjectNotFound(NotFound):
    """The project has no worker space, or it is deleted or another user's."""

    reason = "PROJECT_NOT_FOUND"

    def __init__(self, project_id: str) -> None:
        super().__init__(f"project {project_id} does not exist", project_id=project_id)


class ProjectDeleted(FailedPrecondition):
    """The project's worker space was deleted and never comes back."""

    reason = "PROJECT_DELETED"

    def __init__(self, project_id: str) -> None:
        super().__init__(f"project {project_id} was deleted", project_id=project_id)


class AgentNotFound(NotFound):
    """The agent is absent, deleted, of another project or another user's. `agent` is the id or name it was asked by."""

    reason = "AGENT_NOT_FOUND"

    def __init__(self, agent: str) -> None:
        super().__init__(f"agent {agent} does not exist in this project", agent=agent)


class NoAgents(FailedPrecondition):
    """The project has no agents, or is absent, deleted or another user's."""

    reason = "NO_AGENTS"

    def __init__(self) -> None:
        super().__init__("the project has no agents: create one, then retry the run")


class AgentNameTaken(AlreadyExists):
    """Another agent of the project has this name."""

    reason = "AGENT_NAME_TAKEN"

    def __init__(self, name: str) -> None:
        super().__init__(f"the project already has an agent named {name}", name=name)
        self.violations = (("agent.name", "is the name of another agent of the project"),)


class UnknownTool(InvalidArgument):
    """An agent is to be given something that is no tool."""

    reason = "UNKNOWN_TOOL"


class InvalidToolPolicy(InvalidArgument):
    """Rules, or limits, of a tool policy do not go together, or are for no tool."""

    reason = "INVALID_TOOL_POLICY"


class AgentQueueFull(ResourceExhausted):
    """As many tasks wait for the agent as may."""

    reason = "AGENT_QUEUE_FULL"

    def __init__(self, agent_id: str, capacity: int) -> None:
        super().__init__(
            f"{capacity} tasks already wait for agent {agent_id}: try again later, or raise its concurrency_limit",
            retry_after=5.0,
            agent_id=agent_id,
        )


class AgentQueueUnavailable(Unavailable):
    """What keeps the agents' queues is out of reach: nobody knows whether there is room."""

    reason = "AGENT_QUEUE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the agents' queues in Redis are out of reach at the moment: try again", retry_after=1.0)


class SlotLost(Unavailable):
    """The task's slot went to others, because nothing was heard of its process for too long."""

    reason = "SLOT_LOST"

    def __init__(self, agent_id: str) -> None:
        super().__init__(
            f"the task lost its slot at agent {agent_id}, because it could not be renewed in time: try again",
            retry_after=1.0,
            agent_id=agent_id,
        )


class ExecutionSuperseded(Aborted):
    """The task was given to a later attempt."""

    reason = "EXECUTION_SUPERSEDED"

    def __init__(self, run_id: str, task_id: str) -> None:
        super().__init__(f"task {task_id} of run {run_id} was given to a later attempt", run_id=run_id, task_id=task_id)


class EffectNotFound(NotFound):
    """This attempt has begun no such call, or its project is deleted."""

    reason = "EFFECT_NOT_FOUND"

    def __init__(self, call_id: str) -> None:
        super().__init__(f"call {call_id} was not begun by this attempt", call_id=call_id)


class ModelUnavailable(Unavailable):
    """The model is out of reach, overloaded, or failed before it said anything; trying again later may help."""

    reason = "MODEL_UNAVAILABLE"


class ModelTimeout(DeadlineExceeded):
    """The model kept silent for too long."""

    reason = "MODEL_TIMEOUT"

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the model said nothing for {seconds:g} seconds: try again, or raise CODELAB_MODEL_TIMEOUT_SECONDS"
        )


class ModelFailed(Internal):
    """The model's answer is broken off, empty or cannot be read."""

    reason = "MODEL_FAILED"


class ModelRefused(FailedPrecondition):
    """The model's endpoint does not accept the request as it is: somebody must change a setting or the agent."""

    reason = "MODEL_REFUSED"


class WorkspaceUnavailable(Unavailable):
    """The folder of the projects' files is out of reach."""

    reason = "WORKSPACE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the files of projects are out of reach at the moment: try again", retry_after=1.0)


class MemoryNotFound(NotFound):
    """The memory is absent, deleted, or another agent's."""

    reason = "MEMORY_NOT_FOUND"

    def __init__(self, memory_id: str) -> None:
        super().__init__(f"the agent has no memory {memory_id}", memory_id=memory_id)


class TimeOutOfRange(InvalidArgument):
    """The time of a memory is one that stores cannot tell from its neighbours."""

    reason = "TIME_OUT_OF_RANGE"

    def __init__(self, earliest: int, latest: int) -> None:
        super().__init__(("memory.timestamp", f"must lie between the years {earliest} and {latest}"))


class FilterRequired(InvalidArgument):
    """Everything would be deleted, and nobody said that it should."""

    reason = "FILTER_REQUIRED"

    def __init__(self) -> None:
        super().__init__(("all", "must be true to delete without a filter"))


class MemoryUnavailable(Unavailable):
    """The store of memories is out of reach, or too slow."""

    reason = "MEMORY_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the agents' memory is out of reach at the moment: try again", retry_after=1.0)


class MemoryRefused(FailedPrecondition):
    """The store of memories does not let this service in: somebody must change a setting."""

    reason = "MEMORY_REFUSED"

    def __init__(self, status: int) -> None:
        super().__init__(
            f"the store of the agents' memory refused the credentials (HTTP {status}): check QDRANT_API_KEY"
        )


class EmbeddingUnavailable(Unavailable):
    """The embedding model is out of reach, overloaded or too slow; trying again later may help."""

    reason = "EMBEDDING_UNAVAILABLE"


class EmbeddingRefused(FailedPrecondition):
    """The endpoint does not embed as it is asked to: somebody must change a setting."""

    reason = "EMBEDDING_REFUSED"


class EmbeddingMismatch(FailedPrecondition):
    """The agent's memories were embedded by another model than the one that is set now, or in another length."""

    reason = "EMBEDDING_MISMATCH"

    def __init__(self, agent_id: str, stored: Embedding, configured: Embedding) -> None:
        same = stored.model == configured.model
        names = [f"{each.model} ({each.dimension} dimensions)" if same else each.model for each in (stored, configured)]
        was, now = names
        way_back = "" if same else f", or set EMBEDDING_MODEL={stored.model}"
        super().__init__(
            f"the memories of agent {agent_id} were embedded by {was}, and {now} is set now:"
            f" run `codelab memory migrate`{way_back}",
            agent_id=agent_id,
            stored=was,
            configured=now,
        )
