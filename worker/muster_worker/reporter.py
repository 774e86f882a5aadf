"""Sends results until each is taken, refused or pointless; brings back tasks for the slots they free."""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from muster_worker.backoff import Backoff
from muster_worker.errors import ClientError, Unreachable
from muster_worker.running import Running
from muster_worker.slots import Slots
from muster_worker.worker_api import Answered, WorkerApi

BATCH_MAX: Final = 100
BATCH_BYTES_MAX: Final = 512 * 1024
"""Half of what an orchestrator takes by default; one larger result goes alone."""
REQUESTS_MAX: Final = 4
NEXT_MAX: Final = 64
RESULT_KEPT_S: Final = 600.0
"""With no orchestrator reachable for so long, the lease is surely lost and the result is dropped."""
_COME_BACK: Final = frozenset({"store_unavailable", "store_full", "shutting_down", "internal"})
_MALFORMED: Final = frozenset({"malformed_json", "invalid_body", "invalid_parameter", "body_too_large"})
_log = logging.getLogger("muster_worker")


class Reporter:
    """Results that are ready in one turn of the loop, or while requests are under way, share a request.

    Args:
        start_tasks: called with tasks that came with an answer.
        settled: called once for each result that needs no more sending.
        refuse: replaces a result that was refused as malformed by a report that says so.
    """

    def __init__(
        self,
        api: WorkerApi,
        slots: Slots,
        *,
        start_tasks: Callable[[list[dict[str, Any]]], None],
        settled: Callable[[Running], None],
        refuse: Callable[[Running, str], None],
    ) -> None:
        self._api = api
        self._slots = slots
        self._start_tasks = start_tasks
        self._settled = settled
        self._refuse = refuse
        self._ready: deque[Running] = deque()
        self._is_flush_due = False
        self._requests: set[asyncio.Task[None]] = set()
        self.takes_next = True
        """False while draining."""

    def add(self, done: Running) -> None:
        self._ready.append(done)
        if not self._is_flush_due and len(self._requests) < REQUESTS_MAX:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    async def close(self) -> None:
        """Give up on what is still unsent."""
        requests = list(self._requests)
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)

    def _flush(self) -> None:
        self._is_flush_due = False
        while self._ready and len(self._requests) < REQUESTS_MAX:
            request = asyncio.get_running_loop().create_task(self._deliver(self._take_batch()))
            self._requests.add(request)
            request.add_done_callback(self._request_ended)

    def _request_ended(self, request: asyncio.Task[None]) -> None:
        self._requests.discard(request)
        if not request.cancelled() and (error := request.exception()) is not None:
            _log.error("reporting results failed", exc_info=error)
        if not request.cancelled():
            self._flush()

    def _take_batch(self) -> list[Running]:
        batch = [self._ready.popleft()]
        size_bytes = len(batch[0].body)
        while self._ready and len(batch) < BATCH_MAX:
            size_bytes += len(self._ready[0].body) + 1
            if size_bytes > BATCH_BYTES_MAX:
                break
            batch.append(self._ready.popleft())
        return batch

    async def _deliver(self, batch: list[Running]) -> None:
        backoff = Backoff()
        while batch := self._still_wanted(batch):
            try:
                batch = await self._send(batch)
                retry_after_s = None
            except ClientError as error:
                if not _worth_repeating(error):
                    batch = await self._apart(batch, error)
                    continue
                _log.warning("%d results wait to be sent: %s", len(batch), error)
                retry_after_s = error.retry_after_s
            if batch:
                await asyncio.sleep(backoff.next_delay_s(retry_after_s))

    async def _send(self, batch: list[Running]) -> list[Running]:
        """Returns the results that must be sent again."""
        next_max = min(len(batch) + max(self._slots.free, 0), NEXT_MAX) if self.takes_next else 0
        promised = max(0, next_max - len(batch))
        free, ends = self._slots.free_by_type(), Counter(done.kind for done in batch)
        offered = {kind: min(next_max, count + ends[kind]) for kind, count in free.items()}
        promised_of = {kind: max(0, count - ends[kind]) for kind, count in offered.items()}
        self._slots.promise(promised, promised_of)
        try:
            answered = await self._api.report([done.body for done in batch], next_max, offered)
            again = self._settle(batch, answered)
            self._start_tasks(answered.tasks)
        finally:
            self._slots.end_promise(promised, promised_of)
        return again

    def _settle(self, batch: Sequence[Running], answered: Answered) -> list[Running]:
        again: list[Running] = []
        for done, receipt in zip(batch, answered.receipts, strict=False):
            error = receipt.get("error")
            if error in _COME_BACK or (error in _MALFORMED and self._replace(done, str(error))):
                again.append(done)
                continue
            if error or receipt.get("status") == "result_ignored":
                _log.warning("the result of task %s was not taken: %s", done.task_id, error or receipt.get("reason"))
            self._settled(done)
        unanswered = batch[len(answered.receipts) :]
        return again + list(unanswered)

    async def _apart(self, batch: list[Running], error: ClientError) -> list[Running]:
        """A refused batch is sent one by one, so that one bad result does not take the others with it."""
        if len(batch) > 1:
            for done in batch:
                await self._deliver([done])
            return []
        if error.status in (400, 413, 422) and self._replace(batch[0], error.detail):
            return batch
        _log.error("the result of task %s was refused: %s", batch[0].task_id, error)
        self._settled(batch[0])
        return []

    def _replace(self, done: Running, why: str) -> bool:
        """Once: a replacement that is refused too is dropped."""
        if done.replaced:
            return False
        done.replaced = True
        self._refuse(done, why)
        return True

    def _still_wanted(self, batch: list[Running]) -> list[Running]:
        now_s = time.monotonic()
        kept: list[Running] = []
        for done in batch:
            if done.reported_since_s is None:
                done.reported_since_s = now_s
            if done.is_lost or now_s - done.reported_since_s > RESULT_KEPT_S:
                _log.warning("dropping the result of task %s: its lease is lost", done.task_id)
                self._settled(done)
            else:
                kept.append(done)
        return kept


def _worth_repeating(error: ClientError) -> bool:
    """A refusal of the worker itself may be over soon (a token being renewed); one of the body will not."""
    return isinstance(error, Unreachable) or error.status >= 500 or error.status in (401, 408, 425, 429)
