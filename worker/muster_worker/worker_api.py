"""The routes of the worker protocol, one method each. docs/worker-protocol.md shows them with curl."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from pydantic import TypeAdapter

from muster_worker.answers import read_answer
from muster_worker.codec import decode_object, encode
from muster_worker.errors import NotFound, Unreachable
from muster_worker.event_wire import EventsAnswer
from muster_worker.hot import HotCache
from muster_worker.running import Running
from muster_worker.slots import NO_TYPES
from muster_worker.transport import Transport
from muster_worker.wire import PROTOCOL, HeartbeatAnswer, Registered

STREAM: Final = "stream"
POLL_MARGIN_S: Final = 10.0
REPORT_TIMEOUT_S: Final = 15.0
LEASES_PER_HEARTBEAT_MAX: Final = 200
FREE_CHARACTERS_MAX: Final = 4_000
"""Of a URL; servers take 8,190. What is not said of a type may come, and then waits here."""
_REGISTERED: Final = TypeAdapter(Registered)
_EVENTS: Final = TypeAdapter(EventsAnswer)
_HEARTBEAT: Final = TypeAdapter(HeartbeatAnswer)
_log = logging.getLogger("muster_worker")


@dataclass(frozen=True, slots=True)
class Timing:
    """What the orchestrator told at registration."""

    heartbeat_s: float = 2.0
    lease_s: float = 8.0
    poll_s: float = 30.0
    streams: bool = False
    """It sends tasks over the WebSocket to whoever grants credits."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Answer to a batch of results: one receipt each, in their order, and tasks that could be had at once."""

    receipts: list[dict[str, Any]]
    tasks: list[dict[str, Any]]


class WorkerApi:
    """Registers by itself, and again whenever an orchestrator no longer knows the worker.

    The hot path reads plain dicts: the shapes are those of wire.py, and the orchestrator made them.
    """

    def __init__(
        self, transport: Transport, worker_id: str, registration: dict[str, Any], hot: HotCache | None = None
    ) -> None:
        self.transport = transport
        self.timing = Timing()
        self._worker_id = worker_id
        self._worker = f"/_worker/workers/{worker_id}"
        self._registration = {**registration, "worker_id": worker_id, "protocol": PROTOCOL}
        self._hot = HotCache() if hot is None else hot

    async def register(self) -> Timing:
        hot = self._hot.names()
        body = encode({**self._registration, **({"hot_cache": hot} if hot else {})})
        answer = await self.transport.request("POST", "/_worker/workers/register", body=body)
        self._hot.told = hot
        told = read_answer(_REGISTERED, answer.body)
        default = Timing()
        self.timing = Timing(
            told.heartbeat_seconds or default.heartbeat_s,
            told.lease_seconds or default.lease_s,
            told.poll_seconds or default.poll_s,
            STREAM in (told.features or ()),
        )
        return self.timing

    async def poll(
        self, tasks_max: int, free: Mapping[str, int] = NO_TYPES, timeout_s: float | None = None
    ) -> list[dict[str, Any]]:
        """Wait for tasks, of the types of *free* for no more than so many; empty when none came in time."""
        wait_s = self.timing.poll_s if timeout_s is None else timeout_s
        path = f"{self._worker}/tasks/next?timeout={wait_s:g}&max={tasks_max}{_free(free, tasks_max)}"
        try:
            answer = await self.transport.request("GET", path, timeout_s=wait_s + POLL_MARGIN_S)
        except NotFound:
            await self.register_again()
            return []
        if answer.status == 204 or not answer.body:
            return []
        leased: list[dict[str, Any]] = _object(answer.body).get("tasks", [])
        return leased

    async def report(self, bodies: Sequence[bytes], next_max: int, free: Mapping[str, int] = NO_TYPES) -> Answered:
        """Send encoded results (wire.Result). Safe to repeat: the orchestrator takes each at most once."""
        path = f"/_worker/tasks/results?next={next_max}{_free(free, next_max)}"
        body = b'{"results":[' + b",".join(bodies) + b"]}"
        try:
            answer = await self.transport.request("POST", path, body=body, timeout_s=REPORT_TIMEOUT_S)
        except NotFound as error:
            if error.code != "worker_not_found":
                raise
            await self.register_again()
            answer = await self.transport.request("POST", path, body=body, timeout_s=REPORT_TIMEOUT_S)
        decoded = _object(answer.body)
        return Answered(decoded.get("results", []), decoded.get("tasks", []))

    async def send_events(self, running: Running, events: Sequence[bytes]) -> EventsAnswer:
        """Send encoded events (event_wire.Event). Safe to repeat: those that are known are skipped."""
        about = {"worker_id": self._worker_id, "attempt": running.attempt, "fence": running.fence}
        body = encode(about)[:-1] + b',"events":[' + b",".join(events) + b"]}"
        path = f"/_worker/tasks/{running.task_id}/events"
        answer = await self.transport.request("POST", path, body=body, timeout_s=REPORT_TIMEOUT_S)
        return read_answer(_EVENTS, answer.body)

    async def heartbeat(
        self, status: str, slots: int, running: Sequence[Running], resized: int | None = None
    ) -> HeartbeatAnswer:
        """Report every running task. Keeps the leases, carries progress, brings cancellations and orders.

        *resized* are the slots, where they are not those of the registration.
        """
        answer = HeartbeatAnswer()
        cancel: list[str] = []
        lost: list[str] = []
        step = LEASES_PER_HEARTBEAT_MAX
        chunks = [running[i : i + step] for i in range(0, len(running), step)] or [running]
        load = min(1.0, len(running) / slots)
        for chunk in chunks:
            answer = await self._beat(status, load, [r.task_id for r in running], chunk, resized)
            cancel += answer.cancel_task_ids
            lost += answer.lost_task_ids
        return HeartbeatAnswer(
            cancel_task_ids=cancel, lost_task_ids=lost, order=answer.order, ordered_slots=answer.ordered_slots
        )

    async def register_again(self) -> None:
        _log.warning("the orchestrator at %s does not know this worker; registering again", self.transport.address)
        await self.register()

    async def _beat(
        self, status: str, load: float, task_ids: list[str], running: Sequence[Running], resized: int | None
    ) -> HeartbeatAnswer:
        signs = [(r, (r.progress, r.message)) for r in running]
        hot = self._hot.names()
        body = encode(
            {
                "status": status,
                "load": load,
                "current_tasks": task_ids,
                **({} if resized is None else {"max_concurrent_tasks": resized}),
                **({} if hot == self._hot.told else {"hot_cache": hot}),
                "leases": [_lease(r, sign) for r, sign in signs if r.fence is not None],
            }
        )
        timeout_s = max(1.0, self.timing.lease_s / 3)
        try:
            answer = await self.transport.request("PATCH", self._worker, body=body, timeout_s=timeout_s)
        except NotFound:
            await self.register_again()
            answer = await self.transport.request("PATCH", self._worker, body=body, timeout_s=timeout_s)
        self._hot.told = hot
        for r, sign in signs:
            r.progress_sent = sign
        return read_answer(_HEARTBEAT, answer.body)


def _free(free: Mapping[str, int], tasks_max: int) -> str:
    """A query's member. Only types that matter, and no more of them than a URL may hold, the fullest first."""
    told: dict[str, int] = {}
    text = ""
    for kind, count in sorted(free.items(), key=lambda entry: entry[1]):
        if count >= tasks_max:
            break
        told[kind] = count
        longer = f"&free={quote(encode(told), safe='')}"
        if len(longer) > FREE_CHARACTERS_MAX:
            break
        text = longer
    return text


def _lease(running: Running, sign: tuple[float | None, str | None]) -> dict[str, Any]:
    lease: dict[str, Any] = {"task_id": running.task_id, "attempt": running.attempt, "fence": running.fence}
    if running.heartbeat_s is not None:
        lease["silent_seconds"] = round(max(0.0, time.monotonic() - running.signed_s), 3)
    if sign != running.progress_sent:
        progress, message = sign
        if progress is not None:
            lease["progress"] = progress
        if message is not None:
            lease["message"] = message
    return lease


def _object(body: bytes) -> dict[str, Any]:
    try:
        return decode_object(body)
    except ValueError as error:
        what = "the answer is not that of an orchestrator"
        raise Unreachable(0, "not_an_orchestrator", what, "check MUSTER_URL") from error
