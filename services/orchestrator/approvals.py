"""Use cases of approvals: what waits for its user, and deciding it."""

from collections.abc import Collection

from services.orchestrator.executor import Executor
from services.orchestrator.model import Approval, ApprovalState, Decision, Owner, Page
from services.orchestrator.store import ApprovalStore
from services.runtime.ids import Clock


class ApprovalService:
    """What runs ask their users."""

    def __init__(self, approvals: ApprovalStore, executor: Executor, clock: Clock) -> None:
        self._approvals = approvals
        self._executor = executor
        self._clock = clock

    async def list(
        self, owner: Owner, states: Collection[ApprovalState], run_id: str | None, page_size: int, page_token: str
    ) -> Page[Approval]:
        """Newest first; `states` empty is what waits. Raise ProjectNotFound, InvalidPageToken."""
        states = states or (ApprovalState.PENDING,)
        return await self._approvals.list_approvals(owner, states, run_id, page_size, page_token, self._clock())

    async def get(self, owner: Owner, approval_id: str) -> Approval:
        """Raise ApprovalNotFound."""
        return await self._approvals.get_approval(owner, approval_id, self._clock())

    async def decide(self, owner: Owner, approval_id: str, decision: Decision) -> Approval:
        """Decide, and let go on what waited for it. Raise ApprovalNotFound, ApprovalDecided, InvalidArgument."""
        return await self._executor.decide(owner, approval_id, decision)
