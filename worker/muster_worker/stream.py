"""The worker's WebSocket: commands, and tasks where the orchestrator offers to send them.

It only makes things faster. Heartbeats bring cancellations too, and while it is down the worker polls.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import aiohttp

from muster_worker.backoff import Backoff
from muster_worker.codec import decode_object, encode
from muster_worker.slots import Slots
from muster_worker.worker_api import WorkerApi

CREDITS_MAX: Final = 64
ANSWER_S: Final = 0.1
"""So late at most: one frame of credits may do for many of tasks and many free slots. Servers wait for seconds."""
FIRST_TRY_S: Final = 1.0
"""How long the first poll waits for the first connection, which makes it needless."""
WITHDRAW_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
STEADY_S: Final = 1.0
"""A connection that lived so long was a good one: the next attempt follows at once."""
PING_S: Final = 10.0
REPLACED: Final = 4409
_log = logging.getLogger("muster_worker")


class Stream:
    """One connection at a time, on the main event loop. A slot is promised for every task that may still come.

    Args:
        start_tasks: called with tasks that came.
        cancel_task: called with the id of a task to cancel.
        ordered: called with any other command.
    """

    def __init__(
        self,
        api: WorkerApi,
        worker_id: str,
        slots: Slots,
        *,
        start_tasks: Callable[[list[dict[str, Any]]], None],
        cancel_task: Callable[[str], None],
        ordered: Callable[[dict[str, Any]], None] = lambda _command: None,
    ) -> None:
        self._api = api
        self._worker_id = worker_id
        self._slots = slots
        self._start_tasks = start_tasks
        self._cancel_task = cancel_task
        self._ordered = ordered
        self._granted = 0
        """Tasks that may still come."""
        self._granted_of: dict[str, int] = {}
        """The same of types with slots of their own; of each no more than `_granted`."""
        self._received = 0
        """Tasks that came over this connection."""
        self._is_draining = False
        self._is_answer_due = False
        self._answer_timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._down = asyncio.Event()
        self._down.set()
        self._tried = asyncio.Event()
        self._withdrawn = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        slots.on_freed = self._changed.set

    @property
    def is_up(self) -> bool:
        """Tasks come this way: no need to poll."""
        return not self._down.is_set()

    async def wait_down(self) -> None:
        """Until tasks must be polled for."""
        if self._api.timing.streams and not self._tried.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._tried.wait(), FIRST_TRY_S)
        await self._down.wait()

    def start(self) -> None:
        self._following = asyncio.create_task(self._follow())

    async def withdraw(self) -> None:
        """Take no new tasks. What is on its way still comes; afterwards nothing does."""
        if self.is_up and not self._is_draining:
            self._is_draining = True
            self._withdrawn.clear()
            self._answer()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._withdrawn.wait(), WITHDRAW_S)
        self._is_draining = True
        self._forget_grant()

    def take_again(self) -> None:
        """After `withdraw`."""
        self._is_draining = False
        self._changed.set()

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    async def _follow(self) -> None:
        """Stay connected until cancelled; a lost connection is made again with growing pauses."""
        backoff = Backoff(longest_s=LONGEST_PAUSE_S)
        while True:
            started_s = time.monotonic()
            try:
                code = await self._connect()
                if code == REPLACED:
                    _log.warning("another process uses the worker id %r; give each its own", self._worker_id)
                    await asyncio.sleep(LONGEST_PAUSE_S)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                _log.debug("no socket: %s", error)
            except Exception:  # noqa: BLE001 - one bad frame must not be the end of all
                _log.exception("the socket failed")
            self._tried.set()
            if time.monotonic() - started_s > STEADY_S:
                backoff.reset()
            await asyncio.sleep(backoff.next_delay_s())

    async def _connect(self) -> int | None:
        """Returns the close code once the connection has ended."""
        transport = self._api.transport
        url = f"{transport.address}/_worker/ws/{self._worker_id}"
        async with transport.session.ws_connect(url, heartbeat=PING_S, max_msg_size=0) as socket:
            work = [asyncio.create_task(self._read(socket))]
            if self._api.timing.streams:
                self._open()
                work.append(asyncio.create_task(self._grant(socket)))
            try:
                done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._end()
                for task in work:
                    task.cancel()
                await asyncio.gather(*work, return_exceptions=True)
            for task in done:
                task.result()
            return socket.close_code

    def _open(self) -> None:
        self._received = 0
        self._down.clear()
        self._tried.set()
        self._answer()

    def _end(self) -> None:
        self._forget_grant()
        self._withdrawn.set()
        self._down.set()
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None

    def _forget_grant(self) -> None:
        granted, self._granted = self._granted, 0
        by_type, self._granted_of = self._granted_of, {}
        self._slots.end_promise(granted, by_type)

    # Commands

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for frame in socket:
            if frame.type is aiohttp.WSMsgType.TEXT:
                self._obey(_command(frame.data))

    def _obey(self, command: dict[str, Any]) -> None:
        match command:
            case {"command": "cancel_task", "task_id": str(task_id)}:
                self._cancel_task(task_id)
            case {"command": "tasks", "tasks": []}:
                self._withdrawn.set()
            case {"command": "tasks", "tasks": [*tasks]}:
                self._take(tasks)
            case _:
                self._ordered(command)

    def _take(self, tasks: list[dict[str, Any]]) -> None:
        granted = min(len(tasks), self._granted)
        self._received += len(tasks)
        self._granted -= granted
        came, before = Counter(str(task.get("type")) for task in tasks), self._granted_of
        self._granted_of = {kind: max(0, min(n - came[kind], self._granted)) for kind, n in before.items()}
        ended = {kind: count - self._granted_of[kind] for kind, count in before.items()}
        self._slots.end_promise(granted, ended)
        self._start_tasks(tasks)
        self._answer_soon()

    # Credits

    def _answer_soon(self) -> None:
        if self._answer_timer is None:
            self._answer_timer = asyncio.get_running_loop().call_later(ANSWER_S, self._answer)

    def _answer(self) -> None:
        self._is_answer_due = True
        self._changed.set()

    async def _grant(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Grant what is free: at once where less than half of what could be is granted, else a little later."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            wanted = self._wanted()
            by_type = self._wanted_of(wanted)
            more = {kind: count for kind, count in by_type.items() if count > self._granted_of.get(kind, 0)}
            opens = any(not self._granted_of.get(kind) for kind in more)
            if self._is_answer_due or wanted > 2 * self._granted or opens:
                await self._send(socket, wanted, by_type)
            elif wanted > self._granted or more:
                self._answer_soon()

    def _wanted(self) -> int:
        return 0 if self._is_draining else min(self._granted + max(self._slots.free, 0), CREDITS_MAX)

    def _wanted_of(self, wanted: int) -> dict[str, int]:
        """Of *wanted* tasks so many at most may be of the types with slots of their own."""
        free = self._slots.free_by_type()
        return {kind: min(self._granted_of.get(kind, 0) + count, wanted) for kind, count in free.items()}

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, wanted: int, by_type: dict[str, int]) -> None:
        self._is_answer_due = False
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None
        if (
            wanted >= self._granted
        ):  # a grant is never lowered but to withdraw it, and then it counts until all has come
            more_of = {kind: count - self._granted_of.get(kind, 0) for kind, count in by_type.items()}
            self._slots.promise(wanted - self._granted, more_of)
            self._granted, self._granted_of = wanted, by_type
        credit = {
            "event": "credit",
            "tasks": wanted,
            "received": self._received,
            **({"free": by_type} if by_type else {}),
        }
        await socket.send_frame(encode(credit), aiohttp.WSMsgType.TEXT)


def _command(text: str) -> dict[str, Any]:
    try:
        return decode_object(text)
    except ValueError:
        return {}
