"""What a client may do with limits: set and lift them, and pause queues and blueprints."""

from typing import Any, Final
from urllib.parse import quote

from pydantic import TypeAdapter

from muster_worker.answers import read_answer
from muster_worker.codec import encode
from muster_worker.durations import Duration, parse_duration_ms
from muster_worker.transport import Transport

_OBJECT: Final = TypeAdapter(dict[str, Any])


class LimitCalls:
    """A part of `Client`. Scopes are `global` (with the name `*`), `tenant`, `task`, `blueprint` and `key`.

    Limits of one's own keys are everybody's to set; the others need an operator's token in production.
    """

    _transport: Transport

    async def limits(self) -> list[dict[str, Any]]:
        """Those that bear upon one's tasks, each with how it stands."""
        answer = await self._transport.request("GET", "/api/v1/limits")
        return list(read_answer(_OBJECT, answer.body)["items"])

    async def set_limit(
        self,
        scope: str,
        name: str = "*",
        *,
        max: int | None = None,  # noqa: A002 - the word of the API
        rate: int | None = None,
        per: Duration | None = None,
        burst: int | None = None,
        weight: float | None = None,
    ) -> dict[str, Any]:
        """Set a limit, in place of what was set before: *max* tasks at once, *rate* starts *per* so much time.

        *burst* of these may start together. *weight* is a tenant's share: 2 gets twice what 1 gets. It holds at once,
        for what waits already too. Raises ClientError: `invalid_limit`, `forbidden`, ….
        """
        seconds = None if per is None else parse_duration_ms(per) / 1000
        given = {"max": max, "rate": rate, "per": seconds, "burst": burst, "weight": weight}
        body = encode({word: value for word, value in given.items() if value is not None})
        answer = await self._transport.request("PUT", _path(scope, name), body=body)
        return read_answer(_OBJECT, answer.body)

    async def delete_limit(self, scope: str, name: str = "*") -> None:
        """Lift a limit, and its pause with it."""
        await self._transport.request("DELETE", _path(scope, name))

    async def pause_queue(self, task: str) -> None:
        """Hand out no more tasks of a type; those that run go on."""
        await self._transport.request("POST", f"/api/v1/queues/{quote(task, safe='')}/pause")

    async def resume_queue(self, task: str) -> None:
        await self._transport.request("POST", f"/api/v1/queues/{quote(task, safe='')}/resume")

    async def pause_blueprint(self, name: str) -> None:
        """Hand out no more tasks of a blueprint's jobs; those that run go on, and jobs may be started."""
        await self._transport.request("POST", f"/api/v1/blueprints/{quote(name, safe='')}/pause")

    async def resume_blueprint(self, name: str) -> None:
        await self._transport.request("POST", f"/api/v1/blueprints/{quote(name, safe='')}/resume")


def _path(scope: str, name: str) -> str:
    return f"/api/v1/limits/{quote(scope, safe='')}/{quote(name, safe='')}"
