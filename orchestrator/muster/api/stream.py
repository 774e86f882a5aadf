"""Tasks over a worker's WebSocket: the worker grants credits, the server sends at most so many tasks.

The worker still pulls. What a grant lets through is counted here, claimed through the same poll as over HTTP, and a
connection that does not answer is given nothing more: a dead worker must not swallow one task after the other.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import structlog
from aiohttp import WSCloseCode
from muster_worker.wire import FreeByType, Wire
from pydantic import Field, StrictInt

from muster.api.ports import Engine
from muster.api.wire import task_objects
from muster.core.limits import CLAIM_MAX
from muster.engine.views import FreeSlots, Lease
from muster.errors import ErrorCode, MusterError
from muster.observe import names
from muster.settings import Settings
from muster.store.base import StoreFull, StoreUnavailable

FEATURE: Final = "stream"
"""What the answer to a registration calls it."""
NOTHING_MORE: Final[Mapping[str, Any]] = {"command": "tasks", "tasks": ()}
"""Answers a grant of 0: no task follows it."""
UNANSWERED: Final = 4408
UNKNOWN_WORKER: Final = 4404
ANSWER_SHARE: Final = 0.6
"""Of the delivery lease: whoever has not answered by then is gone before the task comes back to be claimed again."""
RETRY_S: Final = 0.5
_log = structlog.stdlib.get_logger()

Send = Callable[[Mapping[str, Any]], Awaitable[bool]]
Close = Callable[[int, bytes], None]


class CreditFrame(Wire):
    """How many tasks the worker would take now. It also answers every frame of tasks that the worker has read."""

    event: Literal["credit"]
    tasks: Annotated[StrictInt, Field(ge=0, le=CLAIM_MAX)]
    free: FreeByType = Field(default_factory=dict[str, int])
    """Of some types no more than so many of these."""
    received: Annotated[StrictInt, Field(ge=0)] | None = None
    """Tasks that came over this connection so far: those on their way then count against the grant."""


class TaskStream:
    """The tasks of one connection.

    A grant that shrinks interrupts the claim under way, and what that claim may still get goes back; tasks that were
    claimed before are sent, so a worker may get what it granted until it has been told `NOTHING_MORE`.

    Args:
        send: True when the frame went out.
        close: ends the connection without waiting for it.
    """

    def __init__(self, engine: Engine, settings: Settings, worker_id: str, *, send: Send, close: Close) -> None:
        self._engine = engine
        self._worker_id = worker_id
        self._send = send
        self._close = close
        self._poll_s = settings.worker_poll_timeout_seconds
        self._answer_s = settings.delivery_lease_seconds * ANSWER_SHARE
        self._left = 0
        self._free = FreeSlots({})
        """What is left of the grant, and of it by task type; the claim under way goes by the latter."""
        self._sent = 0
        self._asked = 0
        """Tasks that the claim under way may bring."""
        self._claiming: asyncio.Task[None] | None = None
        self._unanswered: deque[tuple[int, float]] = deque()
        """For each frame of tasks: `sent` after it, and until when it must be answered (loop time)."""
        self._types: deque[str] = deque()
        """Of the tasks that were sent last, those included that the worker may not have received."""
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    async def credit(self, frame: CreditFrame) -> None:
        """Replace the grant. One that speaks of tasks never sent is ignored."""
        received = self._sent if frame.received is None else frame.received
        if received > self._sent or self._ended:
            return
        while self._unanswered and self._unanswered[0][0] <= received:
            self._unanswered.popleft()
        self._left = max(0, frame.tasks - (self._sent - received))
        while len(self._types) > self._sent - received:
            self._types.popleft()
        self._free.change(_without(frame.free, self._types))
        if self._claiming is not None and self._asked > self._left:
            self._claiming.cancel()
            self._claiming = None
        if self._left and self._claiming is None:
            self._claiming = asyncio.create_task(self._claim_while_granted())
        if not frame.tasks:
            await self._send(NOTHING_MORE)

    def end(self) -> None:
        """The connection is over: a claim under way gives back what it gets."""
        self._ended = True
        self._left = 0
        if self._timer is not None:
            self._timer.cancel()
        if self._claiming is not None:
            self._claiming.cancel()

    async def _claim_while_granted(self) -> None:
        try:
            while self._left:
                self._asked = self._left
                leases = await self._claim()
                self._asked = 0  # from here on nothing interrupts: what is claimed is sent
                if leases:
                    await self._hand_over(leases)
        except MusterError as error:
            gone = error.code is ErrorCode.WORKER_NOT_FOUND
            self._break_off(UNKNOWN_WORKER if gone else WSCloseCode.TRY_AGAIN_LATER, str(error.code))
        except Exception:  # noqa: BLE001 - one that ends unseen would leave the worker waiting for ever
            _log.exception(names.WORKER_STREAM_ENDED, worker_id=self._worker_id, code="internal")
            self._close(WSCloseCode.INTERNAL_ERROR, b"internal")
        finally:
            if self._claiming is asyncio.current_task():
                self._claiming = None

    def _break_off(self, close_code: int, why: str) -> None:
        _log.info(names.WORKER_STREAM_ENDED, worker_id=self._worker_id, code=why)
        self.end()
        self._close(close_code, why.encode())

    async def _claim(self) -> Sequence[Lease]:
        """None in time, or none to be had: an empty answer that comes early means that somebody is draining."""
        loop = asyncio.get_running_loop()
        asked_at_s = loop.time()
        try:
            leases = await self._engine.poll(
                self._worker_id, timeout_ms=round(self._poll_s * 1000), max_tasks=self._asked, free=self._free
            )
        except (StoreUnavailable, StoreFull):
            await asyncio.sleep(RETRY_S)
            return ()
        if not leases and loop.time() - asked_at_s < self._poll_s / 2:
            self._left = 0
        return leases

    async def _hand_over(self, leases: Sequence[Lease]) -> None:
        """What cannot be sent any more comes back when its delivery lease ends."""
        types = [lease.body["type"] for lease in leases]
        self._left = max(0, self._left - len(leases))
        self._sent += len(leases)
        self._types += types
        self._free.counts = _without(self._free.counts, types)
        self._unanswered.append((self._sent, asyncio.get_running_loop().time() + self._answer_s))
        self._watch()
        if not await self._send({"command": "tasks", "tasks": task_objects(leases)}):
            self._left = 0

    def _watch(self) -> None:
        """One timer at a time, for the oldest frame."""
        if self._timer is None and self._unanswered and not self._ended:
            self._timer = asyncio.get_running_loop().call_at(self._unanswered[0][1], self._end_if_unanswered)

    def _end_if_unanswered(self) -> None:
        self._timer = None
        if self._unanswered and self._unanswered[0][1] <= asyncio.get_running_loop().time():
            self._break_off(UNANSWERED, "unanswered")
        else:
            self._watch()


def _without(free: Mapping[str, int], taken: Iterable[str]) -> Mapping[str, int]:
    """What is left of *free* after tasks of these types."""
    if not free:
        return free
    counts = Counter(taken)
    return {kind: max(0, count - counts[kind]) for kind, count in free.items()}
