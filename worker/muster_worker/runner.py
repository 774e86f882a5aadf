"""Runs tasks in slots: get them, start handlers, turn what they return into results, hand those to the reporter."""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from muster_worker import outcome
from muster_worker.backoff import Backoff
from muster_worker.codec import encode
from muster_worker.context import Ctx
from muster_worker.errors import Cancelled, ClientError
from muster_worker.events import EventSender
from muster_worker.files import TaskFiles
from muster_worker.handlers import Handler
from muster_worker.hot import HotCache
from muster_worker.middleware import Middleware, around
from muster_worker.outcome import StopReason, WireOutcome
from muster_worker.reporter import NEXT_MAX, Reporter
from muster_worker.running import EventSink, Running, RunningTasks
from muster_worker.slots import Slots
from muster_worker.stream import Stream
from muster_worker.task_lines import running_events
from muster_worker.threads import HandlerThreads
from muster_worker.worker_api import WorkerApi

EARLY_S: Final = 0.5
"""A poll that comes back empty sooner than this must not be repeated at once, or the two would spin."""
UNWIND_S: Final = 5.0
"""What handlers get to stop, and results to be sent, once the drain's time is over."""
_log = logging.getLogger("muster_worker")


class Runner:
    """Lives on the main event loop. `stop_task` may be called from any thread."""

    def __init__(
        self,
        api: WorkerApi,
        worker_id: str,
        slots: int,
        handlers: Mapping[str, Handler],
        middlewares: Sequence[Middleware] = (),
        hot: HotCache | None = None,
    ) -> None:
        self.running = RunningTasks()
        self._middlewares = tuple(middlewares)
        self._hot = hot
        self.on_order: Callable[[dict[str, Any]], None] = lambda _command: None
        """Commands of the socket that concern the worker, not a task."""
        self._api = api
        self._worker_id = worker_id
        self._handlers = handlers
        limits = {name: handler.slots for name, handler in handlers.items() if handler.slots is not None}
        self._slots = Slots(slots, limits, others=len(limits) < len(handlers))
        self._threads = HandlerThreads(slots)
        self._limits = {name: asyncio.Semaphore(limit) for name, limit in limits.items()}
        """For tasks that came all the same: of a server that does not ask what is free by type."""
        self._loop = asyncio.get_running_loop()
        self._emptied = asyncio.Event()
        self._poll: asyncio.Task[None] | None = None
        self._changing: asyncio.Task[None] | None = None
        """A pause or its end, under way; they follow one another."""
        self._telling: set[asyncio.Task[None]] = set()
        """Ended tasks whose last events are on their way."""
        self._reporter = Reporter(
            api, self._slots, start_tasks=self._start_all, settled=self._settled, refuse=self._refuse
        )
        self._stream = Stream(
            api,
            worker_id,
            self._slots,
            start_tasks=self._start_all,
            cancel_task=self._cancel_by_command,
            ordered=lambda command: self.on_order(command),
        )

    def start(self) -> None:
        self._stream.start()
        self._poll = self._loop.create_task(self._poll_forever())

    async def take_no_more(self) -> None:
        """Take no new tasks. What is on its way is run."""
        self._reporter.takes_next = False
        if self._poll is not None:
            self._poll.cancel()
            await asyncio.gather(self._poll, return_exceptions=True)
        await self._stream.withdraw()

    def pause(self) -> None:
        """Take no new tasks until `go_on`."""
        self._changing = self._loop.create_task(self._after(self._changing, self.take_no_more()))

    def go_on(self) -> None:
        self._changing = self._loop.create_task(self._after(self._changing, self._take_again()))

    def resize(self, slots: int) -> None:
        """Take so many at a time. What was granted above that is taken back, what runs may finish."""
        self._slots.resize(slots)
        self._threads.grow(slots)
        if self._slots.free < 0 and self._reporter.takes_next:
            self.pause()
            self.go_on()

    async def _after(self, before: "asyncio.Task[None] | None", then: Coroutine[Any, Any, None]) -> None:
        if before is not None:
            await asyncio.gather(before, return_exceptions=True)
        await then

    async def _take_again(self) -> None:
        self._reporter.takes_next = True
        self._stream.take_again()
        self._poll = self._loop.create_task(self._poll_forever())

    async def wait_empty(self) -> None:
        """Until every task here has run and its result is taken."""
        while self._slots.held or self._slots.promised:
            self._emptied.clear()
            await self._emptied.wait()

    async def close(self) -> None:
        """Stop what still runs, report it if that is quick, and end."""
        await self.take_no_more()
        for running in self.running.snapshot():
            self._stop_here(running, "shutdown")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.wait_empty(), UNWIND_S)
        for telling in list(self._telling):
            telling.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)
        for running in self.running.snapshot():
            if running.events is not None:
                running.events.close()
        await self._stream.close()
        await self._reporter.close()
        self._threads.close()

    def stop_task(self, running: Running, reason: StopReason) -> None:
        """From any thread. A plain handler notices at once, an async one when the main loop gets to it."""
        running.stop(reason)
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the handler with it
            self._loop.call_soon_threadsafe(self._stop_here, running, reason)

    def _cancel_by_command(self, task_id: str) -> None:
        if (running := self.running.get(task_id)) is not None:
            self._stop_here(running, "command")

    async def _poll_forever(self) -> None:
        """While the stream is down."""
        backoff = Backoff()
        while True:
            await self._stream.wait_down()
            await self._slots.wait_free()
            if self._stream.is_up:
                continue
            wanted = min(self._slots.free, NEXT_MAX)
            free = {kind: min(count, wanted) for kind, count in self._slots.free_by_type().items()}
            self._slots.promise(wanted, free)
            asked_s = time.monotonic()
            try:
                leased = await self._api.poll(wanted, free)
                self._start_all(leased)
                if leased or time.monotonic() - asked_s > EARLY_S:
                    backoff.reset()
                    continue
                delay_s = backoff.next_delay_s()  # answered early: it stops, or has nothing for a draining worker
            except ClientError as error:
                _log.warning("polling failed: %s", error)
                delay_s = backoff.next_delay_s(error.retry_after_s)
            except Exception:  # noqa: BLE001 - one bad answer must not stop the polling
                _log.exception("polling failed")
                delay_s = backoff.next_delay_s()
            finally:
                self._slots.end_promise(wanted, free)
                self._emptied.set()
            await asyncio.sleep(delay_s)

    def _start_all(self, leased: list[dict[str, Any]]) -> None:
        for task in leased:
            try:
                name = task["type"]
                running = Running(task, self._handlers.get(name))
            except (KeyError, TypeError):
                _log.exception("an orchestrator sent a task this worker cannot read: %.200r", task)
                continue
            self._start(running, name, task.get("params"))

    def _start(self, running: Running, name: str, params: Any) -> None:
        self._slots.take(1, running.kind)
        running.events = EventSender(self._api, running, self._cancelled)
        running.files = self._files_of(running)
        running.hot = self._hot
        if (before := self.running.add(running)) is not None:
            self._stop_here(before, "lost")
        handler = running.handler
        if handler is None:
            self._done(running, outcome.of_unknown_task(name, sorted(self._handlers)))
            return
        try:
            value = handler.contract.load_input(params)
        except Exception as error:  # noqa: BLE001 - a validator of the user's may raise anything
            self._done(running, outcome.of_invalid_input(handler.contract, error))
            return
        future = self._loop.create_task(self._call(running, handler, name, value))
        running.future = future
        running.timer = self._loop.call_later(running.timeout_s, self._stop_here, running, "timeout")
        future.add_done_callback(functools.partial(self._handler_ended, running, handler))

    async def _call(self, running: Running, handler: Handler, name: str, value: Any) -> Any:
        limit = self._limits.get(name)
        if limit is None:
            return await self._call_now(running, handler, value)
        async with limit:
            return await self._call_now(running, handler, value)

    async def _call_now(self, running: Running, handler: Handler, value: Any) -> Any:
        running_events.set(running.events)
        ctx = Ctx(running)
        middlewares = (*self._middlewares, *handler.around)
        if not middlewares:
            return await self._call_handler(running, handler, ctx, value)
        handle = functools.partial(self._call_handler, running, handler, ctx)
        try:
            return await around(middlewares, ctx, handle)(value)
        except (SystemExit, KeyboardInterrupt) as error:
            raise RuntimeError(f"a middleware raised {error!r}") from error

    async def _call_handler(self, running: Running, handler: Handler, ctx: Ctx, value: Any) -> Any:
        function = handler.function
        arguments = (ctx, value) if handler.takes_ctx else (value,)
        if handler.is_async:
            try:
                return await function(*arguments)
            except (SystemExit, KeyboardInterrupt) as error:  # it would end the worker, and the next one
                raise RuntimeError(f"the handler raised {error!r}") from error
        call = functools.partial(_unless_stopped, running, function, arguments)
        # Never cancelled: a thread cannot be interrupted, so its slot is not given away before it returns.
        return await asyncio.wrap_future(self._threads.submit(call))

    def _stop_here(self, running: Running, reason: StopReason) -> None:
        running.stop(reason)
        handler, future = running.handler, running.future
        if handler is not None and handler.is_async and future is not None:
            future.cancel()

    def _handler_ended(self, running: Running, handler: Handler, future: asyncio.Future[Any]) -> None:
        if running.timer is not None:
            running.timer.cancel()
        if running.is_lost:
            _log.warning("task %s: its lease is lost, the result is dropped", running.task_id)
            self._settled(running)
            return
        self._done(running, _outcome_of(running, handler, future))

    def _done(self, running: Running, result: WireOutcome) -> None:
        running.body = self._encode(running, result)
        if running.events is not None and running.events.is_pending:
            telling = self._loop.create_task(self._report_after_events(running, running.events))
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)
        else:
            self._reporter.add(running)

    async def _report_after_events(self, running: Running, events: EventSink) -> None:
        """What a task told belongs before its end: with the result taken, nobody takes events any more."""
        await events.flush()
        self._reporter.add(running)

    def _files_of(self, running: Running) -> TaskFiles | None:
        if running.fence is None:
            return None
        transport = self._api.transport
        return TaskFiles(
            transport,
            self._loop,
            task_id=running.task_id,
            attempt=running.attempt,
            fence=running.fence,
            settle=None if running.events is None else running.events.settle,
        )

    def _cancelled(self, running: Running) -> None:
        self._stop_here(running, "command")

    def _encode(self, running: Running, result: WireOutcome) -> bytes:
        report = {
            "job_id": running.job_id,
            "task_id": running.task_id,
            "worker_id": self._worker_id,
            "attempt": running.attempt,
            "fence": running.fence,
            "result": result,
        }
        try:
            return encode(report)
        except (TypeError, ValueError) as error:
            return encode({**report, "result": outcome.of_unsendable(error)})

    def _refuse(self, running: Running, why: str) -> None:
        running.body = self._encode(running, outcome.of_refused(len(running.body), why))

    def _settled(self, running: Running) -> None:
        if running.events is not None:
            running.events.close()
        self.running.remove(running)
        self._slots.give_back(1, running.kind)
        self._emptied.set()


def _unless_stopped(running: Running, function: Any, arguments: tuple[Any, ...]) -> Any:
    if running.stopped is not None:
        raise Cancelled
    try:
        return function(*arguments)
    except (StopIteration, SystemExit, KeyboardInterrupt) as error:  # each would upset the event loop
        raise RuntimeError(f"the handler raised {error!r}") from error


def _outcome_of(running: Running, handler: Handler, future: asyncio.Future[Any]) -> WireOutcome:
    if future.cancelled():
        stopped = asyncio.CancelledError()
        return outcome.of_exception(stopped, running.stopped, running.timeout_s, timeout_code=running.timeout_code)
    error = future.exception()
    if error is None:
        return outcome.of_return(handler.contract, future.result())
    if running.stopped is None:
        _log.info("task %s (%s) failed: %r", running.task_id, handler.contract.name, error)
    return outcome.of_exception(error, running.stopped, running.timeout_s, handler.errors, running.timeout_code)
