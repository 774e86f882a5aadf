"""Threads for plain handlers. Daemon threads: a handler that hangs must not keep a stopped worker from exiting."""

import contextvars
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

_Job = tuple[Future[Any], contextvars.Context, Callable[[], Any]]


class HandlerThreads:
    """At most `count` threads, made when needed."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = threading.Semaphore(0)

    def grow(self, count: int) -> None:
        """Threads that are there stay."""
        self._count = max(self._count, count)

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        """Run `call` with the caller's context variables."""
        future: Future[Any] = Future()
        self._jobs.put((future, contextvars.copy_context(), call))
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._count:
            name = f"muster-handler-{len(self._threads) + 1}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def close(self) -> None:
        """Idle threads end; busy ones end with their handler. Nothing is waited for."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, context, call = job
            if future.set_running_or_notify_cancel():
                try:
                    result = context.run(call)
                except BaseException as error:  # noqa: BLE001 - handed to whoever waits
                    future.set_exception(error)
                else:
                    future.set_result(result)
                    del result
            del job, future, context, call
            self._idle.release()
