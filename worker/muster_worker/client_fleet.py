"""What a client asks and orders of workers."""

from typing import Any
from urllib.parse import quote

from muster_worker.codec import decode_object, encode
from muster_worker.transport import Transport


class FleetCalls:
    """A part of `Client`. Orders need an operator's token where the server runs in production."""

    _transport: Transport

    async def drain_worker(self, worker_id: str) -> dict[str, Any]:
        """Give it no more tasks; what it has it may finish. Kept until `resume_worker`."""
        return await self._order(worker_id, "drain")

    async def resume_worker(self, worker_id: str) -> dict[str, Any]:
        return await self._order(worker_id, "resume")

    async def disconnect_worker(self, worker_id: str) -> dict[str, Any]:
        """As a drain; an SDK worker's process ends then, with exit code 86."""
        return await self._order(worker_id, "disconnect")

    async def resize_worker(self, worker_id: str, slots: int) -> dict[str, Any]:
        return await self._order(worker_id, "resize", {"slots": slots})

    async def _order(self, worker_id: str, order: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        path = f"/api/v1/workers/{quote(worker_id, safe='')}/{order}"
        answer = await self._transport.request("POST", path, body=encode(body or {}))
        return decode_object(answer.body)
