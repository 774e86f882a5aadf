"""A state function that blocks the event loop must not take the replica with it.

Async state functions run on the loop itself, which is what makes a turn cheap. A thread watches: when one of them
has not given the loop back for too long, a signal (or, off the main thread, an asynchronous exception) raises
`TurnBlocked` inside it. Busy loops and blocking calls such as `time.sleep` are both interrupted.
"""

import asyncio
import ctypes
import signal
import threading
import time
from collections.abc import Awaitable, Coroutine, Generator
from types import FrameType
from typing import Any, Final, TypeVar

BLOCKED_MAX_S: Final = 2.0
LOOK_EVERY_S: Final = 0.25
SIGNAL: Final[int] = getattr(signal, "SIGUSR2", 0)
"""0 where there are no such signals (Windows)."""

T = TypeVar("T")


class TurnBlocked(Exception):
    """Raised inside a state function that held the event loop for too long."""


class TurnGuard:
    def __init__(self) -> None:
        self._since: float | None = None
        self._thread_id = threading.get_ident()
        self._stop = threading.Event()
        self._by_signal = SIGNAL > 0 and threading.current_thread() is threading.main_thread()
        if self._by_signal:
            self._previous = signal.signal(SIGNAL, self._on_signal)
        self._thread = threading.Thread(target=self._look, name="muster-turn-guard", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        if self._by_signal:
            signal.signal(SIGNAL, self._previous)

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> "Begun[T]":
        """Run *coroutine* up to its first wait. What it raises before that is raised here."""
        return Begun(coroutine, self)

    def enter(self) -> None:
        self._since = time.monotonic()

    def leave(self) -> None:
        self._since = None

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        since = self._since
        if since is not None and time.monotonic() - since > BLOCKED_MAX_S:
            self._since = None
            raise TurnBlocked

    def _look(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            since = self._since
            if since is not None and time.monotonic() - since > BLOCKED_MAX_S:
                self._interrupt()

    def _interrupt(self) -> None:
        if self._by_signal:
            signal.pthread_kill(self._thread_id, SIGNAL)
        else:
            self._since = None
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread_id), ctypes.py_object(TurnBlocked))


class Begun(Awaitable[T]):
    """A coroutine that has run up to its first wait, or to its end: most state functions need no timer, nor a task.

    Driven step by step, so that a guard is armed only while its code holds the loop.
    """

    __slots__ = ("_coroutine", "_guard", "_value", "_waits_for", "is_over")

    def __init__(self, coroutine: Coroutine[Any, Any, T], guard: TurnGuard | None = None) -> None:
        self._coroutine = coroutine
        self._guard = guard
        self._value: Any = None
        self._waits_for: Any = None
        self.is_over = False
        self._go_on(None)

    def _go_on(self, thrown: BaseException | None) -> None:
        if self._guard is not None:
            self._guard.enter()
        try:
            self._waits_for = self._coroutine.send(None) if thrown is None else self._coroutine.throw(thrown)
        except StopIteration as stop:
            self._value, self.is_over = stop.value, True
        finally:
            if self._guard is not None:
                self._guard.leave()

    def __await__(self) -> Generator[Any, Any, T]:
        """Once, and soon: what it waits for may be there already."""
        while not self.is_over:
            thrown: BaseException | None = None
            try:
                yield self._waits_for
            except BaseException as error:  # noqa: BLE001  handed on into the coroutine, cancellation included
                thrown = error
            self._go_on(thrown)
        return self._value  # type: ignore[no-any-return]


class TooLate(TimeoutError):
    """Raised by `within`, and by nothing that it waits for."""


async def within(begun: Begun[T], seconds: float) -> T:
    """The value of *begun*, after so many seconds at most.

    Raises:
        TooLate: it took longer, and was cancelled.
    """
    if begun.is_over:
        return await begun
    try:
        async with asyncio.timeout(seconds) as deadline:
            return await begun
    except TimeoutError as error:
        if deadline.expired():
            raise TooLate from error
        raise
