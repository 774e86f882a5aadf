"""What a running task tells, on its way to the orchestrator: batched, bounded, never in the task's way.

Events may come from any thread. What does not fit in memory while no orchestrator takes it is dropped and counted;
the count takes the place of the lines.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

from muster_worker.backoff import Backoff
from muster_worker.codec import encode
from muster_worker.errors import ClientError, Unreachable
from muster_worker.event_wire import BODY_BYTES_MAX, LINE_BYTES_MAX, EventsAnswer
from muster_worker.running import Running
from muster_worker.worker_api import WorkerApi

LINGER_S: Final = 0.02
"""A lone event waits so long for company."""
BUSY_LINGER_S: Final = 0.045
"""The same for a task that tells much: fewer requests, each of them fuller."""
BUSY_EVENTS: Final = 30
BATCH_EVENTS_MAX: Final = 500
BATCH_BYTES_MAX: Final = BODY_BYTES_MAX - 64 * 1024
"""Leaves room for what stands around the events."""
BUFFER_BYTES_MAX: Final = 4 * 1024 * 1024
RESERVE_BYTES: Final = 256 * 1024
"""Steps, progress and metadata are few: they find room when lines do not any more."""
SETTLE_S: Final = 1.0
"""A file need not wait longer for what was told before it."""
FLUSH_S: Final = 10.0
"""A result waits for the events before it, unless none of them was taken for so long."""
_log = logging.getLogger("muster_worker")

CancelTask = Callable[[Running], None]


class EventSender:
    """The events of one attempt, sent in order by one request at a time. Lives on the main event loop."""

    __slots__ = (
        "_api",
        "_cancel",
        "_closed",
        "_dropped",
        "_empty",
        "_events",
        "_first",
        "_held_bytes",
        "_hurry",
        "_lock",
        "_loop",
        "_next",
        "_pump",
        "_running",
        "_woken",
    )

    def __init__(self, api: WorkerApi, running: Running, cancel: CancelTask) -> None:
        self._api = api
        self._running = running
        self._cancel = cancel
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._events: deque[bytes] = deque()
        self._held_bytes = 0
        self._first = 0
        """Number of the oldest event that is held."""
        self._next = 0
        self._dropped: dict[str | None, int] = {}
        self._closed = False
        self._pump: asyncio.Task[None] | None = None
        self._woken: asyncio.Event | None = None
        self._empty: asyncio.Event | None = None
        self._hurry = False

    def emit(self, kind: str, fields: dict[str, Any]) -> None:
        """Take an event, from any thread. Returns at once, also where it has to be dropped.

        Raises:
            TypeError: its fields are not JSON.
        """
        if kind == "log":
            for text in split_line(fields["text"]):
                self._take(kind, {"stream": "stdout", "at": _now_ms(), **fields, "text": text})
        else:
            self._take(kind, fields)

    @property
    def is_pending(self) -> bool:
        """Something was told that the orchestrator may not have."""
        return not self._closed and bool(self._events or self._dropped)

    async def settle(self, timeout_s: float = SETTLE_S) -> None:
        """Until all is sent, or nobody takes it, or *timeout_s* have passed."""
        self._hurry = True
        try:
            async with asyncio.timeout(timeout_s):
                while self.is_pending:
                    self._wake()
                    assert self._empty is not None, "_wake has made it"
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            return
        finally:
            self._hurry = False

    async def flush(self, silence_s: float = FLUSH_S) -> None:
        """The same at the end, when nothing more will be told: until nothing was taken for *silence_s*."""
        first = -1
        while self.is_pending and first < self._first:  # slow is not silent: what is being taken is not given up
            first = self._first
            await self.settle(silence_s)
        if self.is_pending:
            _log.warning("task %s: %d events could not be sent in time", self._running.task_id, len(self._events))

    def close(self) -> None:
        """Take and send nothing more. Belongs to the loop."""
        self._closed = True
        if self._pump is not None:
            self._pump.cancel()
        if self._empty is not None:
            self._empty.set()

    # Taking

    def _take(self, kind: str, fields: dict[str, Any]) -> None:
        if self._closed:
            return
        with self._lock:
            self._note_drops()
            event = encode({"seq": self._next, "kind": kind, **fields})
            room = BUFFER_BYTES_MAX if kind == "log" else BUFFER_BYTES_MAX + RESERVE_BYTES
            if self._held_bytes + len(event) > room or (self._dropped and kind == "log"):
                stream = fields.get("stream") if kind == "log" else None
                self._dropped[stream] = self._dropped.get(stream, 0) + 1
                return
            self._hold(event)
        if self._pump is None or len(self._events) in {1, BATCH_EVENTS_MAX}:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody sends any more
                self._loop.call_soon_threadsafe(self._wake)

    def _hold(self, event: bytes) -> None:
        self._events.append(event)
        self._held_bytes += len(event)
        self._next += 1

    def _note_drops(self) -> None:
        """Once there is room again, say how much is missing. Half of it: else every other line would be a notice."""
        if not self._dropped or self._held_bytes > BUFFER_BYTES_MAX // 2:
            return
        for stream, count in self._dropped.items():
            self._hold(encode({"seq": self._next, "kind": "dropped", "count": count, "stream": stream}))
        self._dropped = {}

    # Sending

    def _wake(self) -> None:
        if self._closed:
            return
        if self._pump is None:
            self._woken, self._empty = asyncio.Event(), asyncio.Event()
            self._pump = self._loop.create_task(self._send_forever(self._woken, self._empty))
        if self._woken is not None:
            self._woken.set()

    async def _send_forever(self, woken: asyncio.Event, empty: asyncio.Event) -> None:
        linger_s = LINGER_S
        while not self._closed:
            with self._lock:
                self._note_drops()
            if not self._events:
                empty.set()
                woken.clear()
                await woken.wait()
                continue
            await self._linger(woken, linger_s)
            batch = self._batch()
            linger_s = BUSY_LINGER_S if len(batch) >= BUSY_EVENTS else LINGER_S
            await self._deliver(batch)
        empty.set()

    async def _linger(self, woken: asyncio.Event, seconds: float) -> None:
        """Wait for company, unless the batch is full or the task has ended."""
        deadline_s = self._loop.time() + seconds
        while not self._hurry and len(self._events) < BATCH_EVENTS_MAX and self._loop.time() < deadline_s:
            woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline_s):
                    await woken.wait()

    def _batch(self) -> list[bytes]:
        with self._lock:
            batch: list[bytes] = []
            size_bytes = 0
            for event in self._events:
                size_bytes += len(event) + 1
                if batch and (size_bytes > BATCH_BYTES_MAX or len(batch) >= BATCH_EVENTS_MAX):
                    break
                batch.append(event)
            return batch

    async def _deliver(self, batch: list[bytes]) -> None:
        """Until it is taken or pointless."""
        backoff = Backoff(longest_s=2.0)
        while not self._closed:
            try:
                answer = await self._api.send_events(self._running, batch)
            except ClientError as error:
                if _is_worth_repeating(error):
                    await asyncio.sleep(backoff.next_delay_s(error.retry_after_s))
                    continue
                if error.status in (400, 413):
                    _log.warning("task %s: %d events were refused: %s", self._running.task_id, len(batch), error)
                    self._forget(self._first + len(batch) - 1)
                else:
                    _log.warning("task %s: its events are not taken: %s", self._running.task_id, error)
                    self._end()
            else:
                self._answered(answer)
            return

    def _answered(self, answer: EventsAnswer) -> None:
        if answer.status == "ignored":
            self._end()
        if answer.accepted_to is not None:
            self._forget(answer.accepted_to)
        if answer.cancel_requested and self._running.stopped is None:
            self._cancel(self._running)

    def _forget(self, accepted_to: int) -> None:
        with self._lock:
            while self._events and self._first <= accepted_to:
                self._held_bytes -= len(self._events.popleft())
                self._first += 1

    def _end(self) -> None:
        """Nobody takes these events; the heartbeat will tell what became of the lease."""
        self._closed = True
        with self._lock:
            self._events.clear()


def split_line(text: str) -> Iterator[str]:
    """Pieces of at most 64 KiB, whole characters each. Lone surrogates become question marks: JSON has none."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= LINE_BYTES_MAX:
        yield raw.decode()
        return
    start = 0
    while start < len(raw):
        end = start + LINE_BYTES_MAX
        while end < len(raw) and raw[end] & 0xC0 == 0x80:
            end -= 1
        yield raw[start:end].decode()
        start = end


def _now_ms() -> int:
    return int(time.time() * 1000)


def _is_worth_repeating(error: ClientError) -> bool:
    return isinstance(error, Unreachable) or error.status >= 500 or error.status in (401, 408, 425, 429)
