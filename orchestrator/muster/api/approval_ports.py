"""What the edge needs of the engine's approvals. All methods raise MusterError."""

from typing import Protocol

from muster.engine.approval_tokens import ApprovalTokens
from muster.engine.approvals import Caller, Given, Look, Standing
from muster.engine.views import JobPage


class Approvals(Protocol):
    """`muster.engine.approvals.Approvals` as the edge sees it."""

    @property
    def tokens(self) -> ApprovalTokens: ...

    async def decide(self, job_id: str, given: Given, caller: Caller) -> Standing: ...

    async def delegate(self, job_id: str, approver: str, to: str, note: str, caller: Caller) -> None: ...

    async def look(self, job_id: str, token: str) -> Look: ...

    async def inbox(self, tenant: str, *, approver: str | None, limit: int, cursor: str | None) -> JobPage: ...
